package agent

import (
	"strings"

	"github.com/egret-edge/egret/agent/checkup"
)

// checkFiles tells whether the service's user can read the configuration and the
// files that it names: what root reads need not be for the service.
func (d *doctor) checkFiles(config string) checkup.Verdict {
	c := d.cfg
	files := []string{
		config, c.MQTT.PasswordFile, c.MQTT.TLS.CAFile, c.MQTT.TLS.CertFile, c.MQTT.TLS.KeyFile,
		c.API.TokenFile, c.API.TLS.CertFile, c.API.TLS.KeyFile, c.API.TLS.ClientCAFile,
		c.Updates.Root, c.Updates.CAFile, c.Updates.TokenFile,
	}
	for _, m := range c.Models {
		files = append(files, m.Path, m.Labels)
	}
	for _, cam := range c.Cameras {
		if path, ok := strings.CutPrefix(cam.Source, "folder:"); ok {
			path, _, _ = strings.Cut(path, "?")
			files = append(files, path)
		}
	}
	for _, file := range files {
		if why := d.Unread(file, d.unit); why != "" {
			return checkup.Verdict{Level: checkup.Fail, Detail: config + "; " + why}
		}
	}
	return checkup.Verdict{Level: checkup.OK, Detail: config}
}
