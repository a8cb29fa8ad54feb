package checkup

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// v4l2Capability is struct v4l2_capability of videodev2.h.
type v4l2Capability struct {
	driver       [16]byte
	card         [32]byte
	bus          [32]byte
	version      uint32
	capabilities uint32 // of all nodes of the device
	deviceCaps   uint32 // of this node
	_            [3]uint32
}

// queryCapture asks a node's driver (VIDIOC_QUERYCAP), which is answered while
// another program takes pictures too.
func queryCapture(node string) (captures, known bool) {
	const capture, capturePlanes, hasDeviceCaps = 0x1, 0x1000, 0x80000000
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, false
	}
	defer unix.Close(fd)
	var c v4l2Capability
	const read, number = 2, 0
	op := uintptr(read<<30 | unsafe.Sizeof(c)<<16 | 'V'<<8 | number)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), op, uintptr(unsafe.Pointer(&c))); errno != 0 {
		return false, false
	}
	caps := c.capabilities
	if caps&hasDeviceCaps != 0 {
		caps = c.deviceCaps
	}
	return caps&(capture|capturePlanes) != 0, true
}

// owner is whose a file is.
func owner(info os.FileInfo) (uid, gid uint32, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return st.Uid, st.Gid, true
}

func machine() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Machine[:])
}

// listed tells whether a file has an access control list beside its mode.
func listed(path string) bool {
	n, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}
