// Package web holds the dashboard's static files. They are served as they are:
// there is nothing to build, and nothing in them asks another host.
package web

import "embed"

// Files are the dashboard, index.html at the root.
//
//go:embed index.html style.css favicon.svg *.js
var Files embed.FS
