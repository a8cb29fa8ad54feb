package packages

import (
	"debug/elf"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// owners says which Debian package carries a library, and which versions of
// symbols that package's lowest version has.
var owners = map[string]struct{ deb, symbols string }{
	"libc.so.6":             {"libc6", "GLIBC_"},
	"libm.so.6":             {"libc6", "GLIBC_"},
	"libdl.so.2":            {"libc6", "GLIBC_"},
	"librt.so.1":            {"libc6", "GLIBC_"},
	"libpthread.so.0":       {"libc6", "GLIBC_"},
	"ld-linux-x86-64.so.2":  {"libc6", "GLIBC_"},
	"ld-linux-aarch64.so.1": {"libc6", "GLIBC_"},
	"libgcc_s.so.1":         {"libgcc-s1", "GCC_"},
	"libstdc++.so.6":        {"libstdc++6", "GLIBCXX_"},
}

// provides is the highest version of symbols that the lowest package version
// allowed by Depends has. libstdc++6 of gcc 9 ends at 3.4.28, Debian's
// libgcc-s1 begins at gcc 10.
var provides = map[string]string{"libc6 (>= 2.34)": "2.34", "libgcc-s1 (>= 3.0)": "7.0.0", "libstdc++6 (>= 9)": "3.4.28"}

// TestDependenciesCoverTheBinaries: for each library that the package's files ask
// for, Depends names the package, in a version that has every symbol.
func TestDependenciesCoverTheBinaries(t *testing.T) {
	for _, arch := range architectures {
		depends := strings.Split(field(t, arch, "Depends"), ", ")
		root := unpack(t, arch)
		for _, name := range []string{"usr/bin/egret", "usr/lib/egret/libtensorflowlite_c.so"} {
			file, err := elf.Open(filepath.Join(root, name))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for _, library := range needed(t, file) {
				covered(t, arch, name, library, file, depends)
			}
		}
	}
}

// needed are the libraries that a file asks for, without the private one.
func needed(t *testing.T, file *elf.File) []string {
	t.Helper()
	libraries, err := file.ImportedLibraries()
	if err != nil || len(libraries) == 0 {
		t.Fatalf("libraries %q, %v", libraries, err)
	}
	return slices.DeleteFunc(libraries, func(s string) bool { return s == "libtensorflowlite_c.so" })
}

func covered(t *testing.T, arch, name, library string, file *elf.File, depends []string) {
	t.Helper()
	owner, known := owners[library]
	if !known {
		t.Errorf("%s: %s asks for %s, which no dependency brings", arch, name, library)
		return
	}
	at := slices.IndexFunc(depends, func(s string) bool { return strings.HasPrefix(s, owner.deb+" ") })
	if at < 0 {
		t.Errorf("%s: %s asks for %s, but Depends %q has no %s", arch, name, library, depends, owner.deb)
		return
	}
	has, known := provides[depends[at]]
	if !known {
		t.Errorf("%s: nothing says which symbols %q has: add it to provides", arch, depends[at])
	}
	if highest := highestSymbol(t, file, owner.symbols); compare(highest, has) > 0 {
		t.Errorf("%s: %s asks for %s%s, which %q need not have", arch, name, owner.symbols, highest, depends[at])
	}
}

func highestSymbol(t *testing.T, file *elf.File, prefix string) string {
	t.Helper()
	symbols, err := file.ImportedSymbols()
	if err != nil {
		t.Fatal(err)
	}
	highest := "0"
	for _, s := range symbols {
		if v, ok := strings.CutPrefix(s.Version, prefix); ok && compare(v, highest) > 0 {
			highest = v
		}
	}
	return highest
}

func compare(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

func numbers(version string) []int {
	var all []int
	for part := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(part)
		all = append(all, n)
	}
	return all
}

// TestBinaries: right machine, stripped, and its library is found beside it and
// nowhere in a build tree.
func TestBinaries(t *testing.T) {
	machines := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	for _, arch := range architectures {
		file, err := elf.Open(filepath.Join(unpack(t, arch), "usr/bin/egret"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if file.Machine != machines[arch] {
			t.Errorf("%s: made for %v", arch, file.Machine)
		}
		if file.Section(".symtab") != nil || file.Section(".debug_info") != nil {
			t.Errorf("%s: not stripped", arch)
		}
		runpath, err := file.DynString(elf.DT_RUNPATH)
		if err != nil || !slices.Equal(runpath, []string{"$ORIGIN/../lib/egret"}) {
			t.Errorf("%s: runpath %q, %v", arch, runpath, err)
		}
	}
}

// TestVersion: Debian's version of the package sorts as it should, and both
// architectures have the same.
func TestVersion(t *testing.T) {
	version := field(t, "amd64", "Version")
	if !regexp.MustCompile(`^[0-9][A-Za-z0-9.+~]*$`).MatchString(version) {
		t.Errorf("version %q", version)
	}
	if other := field(t, "arm64", "Version"); other != version {
		t.Errorf("amd64 is %s and arm64 is %s", version, other)
	}
}
