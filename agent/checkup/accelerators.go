package checkup

import "slices"

// edgeTPUs are a Coral's ids: on USB before and after its firmware is loaded,
// and on PCIe.
var edgeTPUs = struct{ usb, pci [][2]string }{
	usb: [][2]string{{"1a6e", "089a"}, {"18d1", "9302"}},
	pci: [][2]string{{"0x1ac1", "0x089a"}},
}

// Accelerator holds what the configuration asks for against what is there.
// names are those of the delegates that are configured. asked is false when
// there is nothing to say.
func (d Device) Accelerator(names []string, u *Unit) (v Verdict, asked bool) {
	usb := d.hasID("sys/bus/usb/devices/*", "idVendor", "idProduct", edgeTPUs.usb)
	pci := d.hasID("sys/bus/pci/devices/*", "vendor", "device", edgeTPUs.pci)
	apex := len(d.glob("dev/apex_*")) > 0
	library := d.library("libedgetpu.so.1")
	wanted := slices.Contains(names, "edgetpu")
	used := wanted || slices.Contains(names, "auto")
	switch {
	case pci && !apex:
		return Verdict{Warn, "a Coral is on the PCIe bus, but there is no /dev/apex_0: sudo apt install gasket-dkms (from Coral's repository), and boot again"}, true
	case wanted && !usb && !apex:
		return Verdict{Warn, "edgetpu is configured and no Coral is there: plug it in, or lsusb | grep -e 1a6e:089a -e 18d1:9302"}, true
	case (usb || apex) && used && library == "":
		return Verdict{Warn, "a Coral is there, but libedgetpu.so.1 is not: sudo apt install libedgetpu1-std (from Coral's repository)"}, true
	case usb && used:
		v = u.needs("the Coral on USB", usbDevices)
	case apex && used:
		v = u.needs("the Coral on PCIe", apexDevices)
	case slices.Contains(names, "gpu"):
		v = u.needs("the GPU", gpuDevices)
	default:
		return v, false
	}
	if v.Level == OK && (usb || apex) {
		v.Detail = "a Coral and " + library
	}
	return v, v.Detail != ""
}

// hasID tells whether a bus has a device of one of the ids.
func (d Device) hasID(pattern, vendor, product string, ids [][2]string) bool {
	for _, dev := range d.glob(pattern) {
		if slices.Contains(ids, [2]string{d.text(dev + "/" + vendor), d.text(dev + "/" + product)}) {
			return true
		}
	}
	return false
}

// library is where a shared library lies; empty when it is in none of the
// folders that Debian's loader looks into.
func (d Device) library(name string) string {
	for _, dir := range []string{"usr/lib/*-linux-gnu*/", "usr/lib/", "usr/lib64/", "lib/*-linux-gnu*/", "usr/local/lib/", "usr/local/lib/*-linux-gnu*/"} {
		if found := d.glob(dir + name); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}
