package agent

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// secretLimit is the largest secret's file that is read; a key or a token fits,
// a wrong file does not.
const secretLimit = 64 << 10

// secretSource reads a secret anew at every call, so that a rotated one is used
// from then on: from a file, or from the systemd credential that the setting
// field names. It is nil when there is neither, and the file must be readable
// now. what is the secret's name in errors.
func secretSource(what, field, path, credential string) (func() (string, error), error) {
	if credential != "" {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return nil, fmt.Errorf("%s %q: systemd gave this service no credentials: add LoadCredential=%s:/path to the unit", field, credential, credential)
		}
		path = filepath.Join(dir, credential)
	}
	if path == "" {
		return nil, nil
	}
	read := func() (string, error) {
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", what, err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, secretLimit+1))
		switch {
		case err != nil:
			return "", fmt.Errorf("read %s: %w", what, err)
		case len(b) > secretLimit:
			return "", fmt.Errorf("read %s: %s is larger than %d bytes: is it the right file?", what, path, secretLimit)
		case len(b) == 0:
			return "", fmt.Errorf("read %s: %s is empty", what, path)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	if _, err := read(); err != nil {
		return nil, err
	}
	return read, nil
}
