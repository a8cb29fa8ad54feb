// Package tfproto holds the messages of TensorFlow Serving's gRPC interface that
// egret answers. The .proto files are our own, compatible on the wire with the
// published ones: same packages, services, messages, fields and numbers, and
// nothing of what is not needed, since descriptors cost memory at run time. It
// is not for converting them to tensors: servinggrpc does that.
//
// The files are registered as egret/*.proto and not under the published paths,
// because reflection shows them and they are not those files. The names of the
// messages are the contract and cannot differ, so a program that links this
// package cannot link another one with the same messages.
//
// `make proto` writes the generated files anew; a test of build/proto fails when
// they are not what it would write.
package tfproto
