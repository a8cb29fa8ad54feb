// Command bundle writes the models that the rig's checks run where it does not
// matter what a model sees: bundle DIR makes DIR/colours (uint8, which the
// library's own kernels run) and DIR/colours8 (int8, which XNNPACK runs). They
// take a hundredth of MobileNet's time, which an emulated processor needs.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/egret-edge/egret/test/smallmodel"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bundle DIR")
		os.Exit(2)
	}
	for name, typ := range map[string]smallmodel.Type{"colours": smallmodel.UInt8, "colours8": smallmodel.Int8} {
		o := smallmodel.Options{Type: typ, Side: 64, Channels: 16}
		if err := smallmodel.WriteBundle(filepath.Join(os.Args[1], name, "1"), o); err != nil {
			fmt.Fprintln(os.Stderr, "bundle:", err)
			os.Exit(1)
		}
	}
}
