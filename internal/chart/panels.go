package chart

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// XY is a place in a panel.
type XY struct{ X, Y float64 }

// Panel is one small plot over time: a line, points, or both. The line is in the
// order of X.
type Panel struct {
	Title string
	Line  []XY
	Dots  []XY
}

// The measures of a panel, and of what is around all of them.
const (
	panelWidth, panelHeight    = 440., 150.
	panelLeft, panelRight      = 52., 12. // inside of it, for the numbers
	panelTop, panelBottom      = 26., 22.
	panelsTop, panelsSide      = 62., 20.
	panelsPerRow, panelsBottom = 2, 14.
)

// Panels draws small plots with one axis of X, two in a row. What lies before
// shaded on that axis is grey. Each axis of Y begins at 0.
func Panels(w io.Writer, title, subtitle string, shaded float64, panels []Panel) error {
	xMost := 0.0
	for _, p := range panels {
		for _, at := range append(append([]XY{}, p.Line...), p.Dots...) {
			xMost = max(xMost, at.X)
		}
	}
	if xMost == 0 {
		xMost = 1
	}
	var s svg
	s.text(panelsSide, 30, "start", `font-size="17" font-weight="bold"`, title)
	s.text(panelsSide, 50, "start", `fill="#666"`, subtitle)
	for i, p := range panels {
		s.panel(p, panelsSide+float64(i%panelsPerRow)*panelWidth, panelsTop+float64(i/panelsPerRow)*panelHeight, xMost, min(shaded, xMost))
	}
	rows := (len(panels) + panelsPerRow - 1) / panelsPerRow
	return s.write(w, 2*panelsSide+panelsPerRow*panelWidth, panelsTop+float64(rows)*panelHeight+panelsBottom)
}

// panel draws one with its upper left corner at x0, y0.
func (s *svg) panel(p Panel, x0, y0, xMost, shaded float64) {
	yMost := 0.0
	for _, at := range append(append([]XY{}, p.Line...), p.Dots...) {
		yMost = max(yMost, at.Y)
	}
	yStep := 2 * niceStep(yMost)
	yMost = max(math.Ceil(yMost*1.02/yStep), 1) * yStep
	left, right, top, bottom := x0+panelLeft, x0+panelWidth-panelRight, y0+panelTop, y0+panelHeight-panelBottom
	x := func(v float64) float64 { return left + v/xMost*(right-left) }
	y := func(v float64) float64 { return bottom - v/yMost*(bottom-top) }
	s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#eee"/>`, left, top, x(shaded)-left, bottom-top)
	s.text(left, top-8, "start", `font-weight="bold"`, p.Title)
	for v := 0.0; v <= yMost+yStep/2; v += yStep {
		s.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, left, y(v), right, y(v))
		s.text(left-6, y(v)+4, "end", `fill="#666" font-size="11"`, fmt.Sprintf("%.4g", v))
	}
	xStep := 2 * niceStep(xMost)
	for v := 0.0; v <= xMost+xStep/1e6; v += xStep {
		s.text(x(v), bottom+15, "middle", `fill="#666" font-size="11"`, fmt.Sprintf("%.4g", v))
	}
	if len(p.Line) > 0 {
		var points strings.Builder
		for _, at := range p.Line {
			fmt.Fprintf(&points, "%.1f,%.1f ", x(at.X), y(at.Y))
		}
		s.add(`<polyline points="%s" fill="none" stroke="%s" stroke-width="1"/>`, strings.TrimSpace(points.String()), colours[4])
	}
	for _, at := range p.Dots {
		s.add(`<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>`, x(at.X), y(at.Y), colours[5])
	}
}
