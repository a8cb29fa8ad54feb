package repo

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// The roles that a key file may be for. One online key serves TUF's snapshot
// and timestamp.
const (
	RoleRoot    = "root"
	RoleTargets = "targets"
	RoleOnline  = "online"
)

// duties are the TUF roles of a key's role.
func duties(role string) []string {
	switch role {
	case RoleRoot:
		return []string{metadata.ROOT}
	case RoleTargets:
		return []string{metadata.TARGETS}
	case RoleOnline:
		return []string{metadata.SNAPSHOT, metadata.TIMESTAMP}
	}
	return nil
}

const (
	keySuffix  = ".key"
	maxKeyFile = 16 << 10
	saltBytes  = 16
)

// derivation is how a passphrase becomes a key: argon2id, RFC 9106.
type derivation struct {
	Name    string `json:"name"`
	Salt    []byte `json:"salt"`
	Time    uint32 `json:"time"`
	Memory  uint32 `json:"memory_kib"`
	Threads uint8  `json:"threads"`
}

// usual is RFC 9106's second recommendation (section 4), for machines that
// cannot spare 2 GiB: three passes over 64 MiB in four lanes.
func usual() derivation {
	return derivation{Name: "argon2id", Time: 3, Memory: 64 << 10, Threads: 4}
}

// key derives. The bounds keep a file from elsewhere from using up the machine.
func (d derivation) key(passphrase []byte) ([]byte, error) {
	if d.Name != "argon2id" || len(d.Salt) != saltBytes || d.Time < 1 || d.Time > 16 || d.Memory < 8 || d.Memory > 1<<20 || d.Threads < 1 || d.Threads > 16 {
		return nil, errors.New("its key derivation is not argon2id within 16 passes, 1 GiB and 16 threads")
	}
	return argon2.IDKey(passphrase, d.Salt, d.Time, d.Memory, d.Threads, chacha20poly1305.KeySize), nil
}

// KeyFile is a key as it lies on the disk: a JSON object whose seed, the 32
// bytes of RFC 8032, is encrypted with XChaCha20-Poly1305
// (draft-irtf-cfrg-xchacha-03) under a key that argon2id makes from the
// passphrase. All other fields are authenticated with it: additional data is
// the same object without the ciphertext, as encoding/json writes it.
type KeyFile struct {
	Format     int        `json:"egret_key"` // 1
	Role       string     `json:"role"`      // root, targets or online
	ID         string     `json:"keyid"`     // TUF's key ID
	Public     string     `json:"public"`    // in hexadecimal
	KDF        derivation `json:"kdf"`
	Cipher     string     `json:"cipher"`
	Nonce      []byte     `json:"nonce"`
	Ciphertext []byte     `json:"ciphertext,omitempty"`

	// Path is where it was read from or written to.
	Path string `json:"-"`
}

const cipherName = "xchacha20poly1305"

// Passphrase gives the passphrase of a key file. For one that is being made
// (fresh) a person should be asked twice.
type Passphrase func(k *KeyFile, fresh bool) ([]byte, error)

// newKey makes a key and its file's content, for the folder.
func newKey(role, dir string, ask Passphrase) (*KeyFile, ed25519.PrivateKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	k := &KeyFile{Format: 1, Role: role, Public: hex.EncodeToString(public), KDF: usual(), Cipher: cipherName}
	tufKey, err := k.tufKey()
	if err != nil {
		return nil, nil, err
	}
	if k.ID, err = tufKey.ID(); err != nil {
		return nil, nil, err
	}
	k.Path = filepath.Join(dir, role+"-"+k.ID[:8]+keySuffix)
	passphrase, err := ask(k, true)
	if err != nil {
		return nil, nil, err
	}
	return k, private, k.seal(private, passphrase)
}

func (k *KeyFile) seal(private ed25519.PrivateKey, passphrase []byte) error {
	if len(passphrase) == 0 {
		return fmt.Errorf("new %s key: the passphrase is empty", k.Role)
	}
	k.KDF.Salt, k.Nonce = make([]byte, saltBytes), make([]byte, chacha20poly1305.NonceSizeX)
	for _, b := range [][]byte{k.KDF.Salt, k.Nonce} {
		if _, err := rand.Read(b); err != nil {
			return err
		}
	}
	secret, err := k.KDF.key(passphrase)
	if err != nil {
		return err
	}
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return err
	}
	header, err := k.header()
	if err != nil {
		return err
	}
	k.Ciphertext = aead.Seal(nil, k.Nonce, private.Seed(), header)
	return nil
}

// header is what is authenticated besides the seed.
func (k *KeyFile) header() ([]byte, error) {
	bare := *k
	bare.Ciphertext = nil
	return json.Marshal(bare)
}

// save writes a new key file, for its owner only. It never replaces one.
func (k *KeyFile) save() error {
	data, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	if _, err := os.Lstat(k.Path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write key %s: it is there already", k.Path)
	}
	return writeAs(k.Path, 0o600, 0o700, content(append(data, '\n')))
}

// unlock gives the private key.
func (k *KeyFile) unlock(passphrase []byte) (ed25519.PrivateKey, error) {
	secret, err := k.KDF.key(passphrase)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k.Path, err)
	}
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		return nil, err
	}
	header, err := k.header()
	if err != nil {
		return nil, err
	}
	seed, err := aead.Open(nil, k.Nonce, k.Ciphertext, header)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("key %s: %w", k.Path, ErrPassphrase)
	}
	private := ed25519.NewKeyFromSeed(seed)
	if public, ok := private.Public().(ed25519.PublicKey); !ok || hex.EncodeToString(public) != k.Public {
		return nil, fmt.Errorf("key %s: its public key belongs to another", k.Path)
	}
	return private, nil
}

func (k *KeyFile) tufKey() (*metadata.Key, error) {
	public, err := hex.DecodeString(k.Public)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return nil, errors.New("its public key is not 32 bytes in hexadecimal")
	}
	return metadata.KeyFromPublicKey(ed25519.PublicKey(public))
}

// parseKey reads a key file and checks all that needs no passphrase.
func parseKey(data []byte) (*KeyFile, error) {
	var k KeyFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields() // what is unknown would not be authenticated
	if err := dec.Decode(&k); err != nil {
		return nil, err
	}
	if k.Format != 1 || k.Cipher != cipherName || duties(k.Role) == nil || len(k.Nonce) != chacha20poly1305.NonceSizeX {
		return nil, errors.New("it is no egret key of format 1")
	}
	tufKey, err := k.tufKey()
	if err != nil {
		return nil, err
	}
	if id, err := tufKey.ID(); err != nil || id != k.ID {
		return nil, errors.New("its key ID belongs to another public key")
	}
	return &k, nil
}

// FindKeys reads the key files that are named, and all of those in folders
// that are named. Nothing is decrypted yet.
func FindKeys(paths ...string) ([]*KeyFile, error) {
	var keys []*KeyFile
	for _, path := range paths {
		files := []string{path}
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoKey, err)
		}
		if info.IsDir() {
			entries, err := os.ReadDir(path)
			if err != nil {
				return nil, err
			}
			files = nil
			for _, e := range entries {
				if strings.HasSuffix(e.Name(), keySuffix) {
					files = append(files, filepath.Join(path, e.Name()))
				}
			}
		}
		for _, file := range files {
			data, err := readLimited(file, maxKeyFile)
			if err != nil {
				return nil, err
			}
			k, err := parseKey(data)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", file, err)
			}
			k.Path = file
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// signWith adds a key's signature, or replaces the one that it made before.
func signWith[T metadata.Roles](m *metadata.Metadata[T], id string, private ed25519.PrivateKey) error {
	// Ed25519 signs the message itself: no hash before it.
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	if err != nil {
		return err
	}
	kept := m.Signatures[:0:0]
	for _, s := range m.Signatures {
		if s.KeyID != id {
			kept = append(kept, s)
		}
	}
	m.Signatures = kept
	_, err = m.Sign(signer)
	return err
}
