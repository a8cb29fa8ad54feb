// Command proto writes the Go code of .proto files. It compiles them in Go, so
// that protoc need not be installed, and runs the plugins that go.mod pins.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// prefix is the path under which our files are registered. See package tfproto.
const prefix = "egret/"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "proto: give the folder of the .proto files")
		return 2
	}
	files, err := generate(context.Background(), args[0])
	if err != nil {
		fmt.Fprintf(os.Stderr, "proto: %v\n", err)
		return 1
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(args[0], name), content, 0o644); err != nil {
			fmt.Fprintf(os.Stderr, "proto: %v\n", err)
			return 1
		}
	}
	return 0
}

// generate gives the generated files by name.
func generate(ctx context.Context, dir string) (map[string][]byte, error) {
	request, err := compile(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", dir, err)
	}
	out := map[string][]byte{}
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		if err := runPlugin(ctx, plugin, request, out); err != nil {
			return nil, fmt.Errorf("go tool %s: %w", plugin, err)
		}
	}
	return out, nil
}

// compile is the request to a plugin: our files and all that they import, each
// after what it imports, as protoc would send them.
func compile(ctx context.Context, dir string) ([]byte, error) {
	sources, err := filepath.Glob(filepath.Join(dir, "*.proto"))
	if err != nil || len(sources) == 0 {
		return nil, errors.Join(err, errors.New("there are no .proto files"))
	}
	names := make([]string, len(sources))
	for i, s := range sources {
		names[i] = prefix + filepath.Base(s)
	}
	ours := &protocompile.SourceResolver{Accessor: func(name string) (io.ReadCloser, error) {
		base, found := strings.CutPrefix(name, prefix)
		if !found {
			return nil, os.ErrNotExist
		}
		return os.Open(filepath.Join(dir, base))
	}}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(ours),
		SourceInfoMode: protocompile.SourceInfoStandard,
		MaxParallelism: 1,
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String("paths=source_relative"),
		// Of the protoc that this stands for: the plugins write it into the files.
		CompilerVersion: &pluginpb.Version{Major: proto.Int32(0), Minor: proto.Int32(0), Patch: proto.Int32(0)},
	}
	seen := map[string]bool{}
	for _, f := range compiled {
		request.ProtoFile = withImports(f, seen, request.ProtoFile)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(request)
}

func withImports(f protoreflect.FileDescriptor, seen map[string]bool, to []*descriptorpb.FileDescriptorProto) []*descriptorpb.FileDescriptorProto {
	if seen[f.Path()] {
		return to
	}
	seen[f.Path()] = true
	for i := range f.Imports().Len() {
		to = withImports(f.Imports().Get(i).FileDescriptor, seen, to)
	}
	return append(to, protoutil.ProtoFromFileDescriptor(f))
}

func runPlugin(ctx context.Context, plugin string, request []byte, out map[string][]byte) error {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "tool", plugin)
	// The plugins run here: flags of the build for another system are not theirs.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "GOOS=") || strings.HasPrefix(e, "GOARCH=")
	})
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(stdout.Bytes(), &response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, f := range response.File {
		out[path.Base(f.GetName())] = []byte(f.GetContent())
	}
	return nil
}
