//go:build !linux

package sensors

import (
	"context"
	"fmt"
)

func (c *camera) Run(context.Context, func(*Frame)) error {
	return fmt.Errorf("camera %s: V4L2 exists on Linux only: use a command: or http: source", c.device)
}
