// Package chart draws the few plots that egret's commands and its soak make, as
// SVG: bars, points, a matrix and small panels over time. A plotting library would
// bring fonts that it parses at every start of the daemon; these need none.
package chart

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

// The colours of series, told apart also by people who see no red or green
// (Okabe and Ito).
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"}

// svg collects a drawing.
type svg struct{ b strings.Builder }

func (s *svg) add(format string, args ...any) { fmt.Fprintf(&s.b, format+"\n", args...) }

func (s *svg) text(x, y float64, anchor, style, text string) {
	s.add(`<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`, x, y, anchor, style, html.EscapeString(text))
}

func (s *svg) write(w io.Writer, width, height float64) error {
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="13" fill="#222">
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, width, height, width, height, s.b.String())
	return err
}

// Bar is one bar of a chart; Mark is written behind its value.
type Bar struct {
	Label string
	Value float64
	Mark  string
	// Series picks the colour.
	Series int
}

// Bars draws horizontal bars from 0, with their values in the unit.
func Bars(w io.Writer, title, unit string, bars []Bar) error {
	const left, width, step, top = 190., 760., 30., 70.
	most := 0.0
	for _, b := range bars {
		most = max(most, b.Value)
	}
	if most == 0 {
		most = 1
	}
	var s svg
	s.text(20, 32, "start", `font-size="17" font-weight="bold"`, title)
	s.text(20, 54, "start", `fill="#666"`, unit)
	for i, b := range bars {
		y := top + float64(i)*step
		length := b.Value / most * (width - left - 170)
		s.text(left-10, y+19, "end", "", b.Label)
		s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2" fill="%s"/>`, left, y+4, max(length, 1), step-8, colours[b.Series%len(colours)])
		s.text(left+length+8, y+19, "start", "", strings.TrimSpace(fmt.Sprintf("%.2f %s", b.Value, b.Mark)))
	}
	return s.write(w, width, top+float64(len(bars))*step+20)
}

// Point is one point of a plot.
type Point struct {
	Label string
	X, Y  float64
}

// Points draws labelled points; both axes begin at 0.
func Points(w io.Writer, title, xName, yName string, points []Point) error {
	const left, right, top, bottom, width, height = 70., 730., 60., 400., 760., 460.
	xMost, yMost := 0.0, 0.0
	for _, p := range points {
		xMost, yMost = max(xMost, p.X), max(yMost, p.Y)
	}
	xStep, yStep := niceStep(xMost), niceStep(yMost)
	xMost, yMost = max(math.Ceil(xMost*1.1/xStep)*xStep, xStep), max(math.Ceil(yMost/yStep)*yStep, yStep)
	x := func(v float64) float64 { return left + v/xMost*(right-left) }
	y := func(v float64) float64 { return bottom - v/yMost*(bottom-top) }
	var s svg
	s.text(20, 32, "start", `font-size="17" font-weight="bold"`, title)
	for v := 0.0; v <= xMost+xStep/2; v += xStep {
		s.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, x(v), top, x(v), bottom)
		s.text(x(v), bottom+20, "middle", `fill="#666"`, fmt.Sprintf("%.4g", v))
	}
	for v := 0.0; v <= yMost+yStep/2; v += yStep {
		s.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>`, left, y(v), right, y(v))
		s.text(left-8, y(v)+4, "end", `fill="#666"`, fmt.Sprintf("%.4g", v))
	}
	s.text((left+right)/2, bottom+44, "middle", "", xName)
	s.add(`<text x="20" y="%.1f" text-anchor="middle" transform="rotate(-90 20 %.1f)">%s</text>`, (top+bottom)/2, (top+bottom)/2, html.EscapeString(yName))
	for i, p := range points {
		s.add(`<circle cx="%.1f" cy="%.1f" r="6" fill="%s"/>`, x(p.X), y(p.Y), colours[i%len(colours)])
		// The names stand below: beside the points they would cover each other.
		line := bottom + 74 + float64(i)*22
		s.add(`<rect x="%.1f" y="%.1f" width="12" height="12" rx="6" fill="%s"/>`, left, line-10, colours[i%len(colours)])
		s.text(left+20, line, "start", "", fmt.Sprintf("%s (%.4g, %.4g)", p.Label, p.X, p.Y))
	}
	return s.write(w, width, height+float64(len(points))*22+20)
}

// niceStep divides a range into four to ten steps of 1, 2 or 5 times a power
// of ten.
func niceStep(most float64) float64 {
	if !(most > 0) {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, f := range []float64{0.1, 0.2, 0.5, 1} {
		if most/(step*f) <= 10 {
			return step * f
		}
	}
	return step
}

// Matrix draws counts of how often a row's class was taken for a column's,
// shaded by their share of the row. cells[i] holds row i.
func Matrix(w io.Writer, title, rowName, columnName string, rows, columns []string, cells [][]int) error {
	const cell, left, top = 34., 190., 190.
	var s svg
	s.text(20, 32, "start", `font-size="17" font-weight="bold"`, title)
	s.text(20, 54, "start", `fill="#666"`, rowName+" down, "+columnName+" across")
	for j, name := range columns {
		x := left + (float64(j)+0.6)*cell
		s.add(`<text x="%.1f" y="%.1f" transform="rotate(-45 %.1f %.1f)">%s</text>`, x, top-8, x, top-8, html.EscapeString(shorten(name, 20)))
	}
	for i, name := range rows {
		y := top + float64(i)*cell
		s.text(left-8, y+cell*0.62, "end", "", shorten(name, 24))
		sum := 0
		for _, n := range cells[i] {
			sum += n
		}
		for j, n := range cells[i] {
			share := float64(n) / float64(max(sum, 1))
			ink := "#222"
			if share > 0.5 {
				ink = "#fff"
			}
			s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#0072b2" fill-opacity="%.3f" stroke="#ddd"/>`, left+float64(j)*cell, y, cell, cell, share)
			if n > 0 {
				s.text(left+(float64(j)+0.5)*cell, y+cell*0.62, "middle", `fill="`+ink+`"`, fmt.Sprint(n))
			}
		}
	}
	return s.write(w, left+float64(len(columns))*cell+120, top+float64(len(rows))*cell+20)
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
