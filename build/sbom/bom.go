package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// writeBOM writes the bill of materials. Its serial number comes from the
// binary's hash and its time from SOURCE_DATE_EPOCH, not from chance and clock.
func writeBOM(path string, p *program, native []part) error {
	bom := cdx.NewBOM()
	bom.SpecVersion = cdx.SpecVersion1_6
	bom.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	bom.SerialNumber = serial(p.sum[:])
	main := cdx.Component{
		BOMRef: "egret", Type: cdx.ComponentTypeApplication, Name: "egret", Version: p.version,
		PackageURL: "pkg:golang/" + p.path + "@" + p.version,
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(p.sum[:])}},
		Licenses:   choices("Apache-2.0"),
	}
	if p.commit != "" {
		main.Properties = &[]cdx.Property{{Name: "egret:commit", Value: p.commit}}
	}
	bom.Metadata = &cdx.Metadata{Timestamp: timestamp(), Component: &main}

	var components []cdx.Component
	for _, m := range p.modules {
		c, err := moduleComponent(m)
		if err != nil {
			return err
		}
		components = append(components, c)
	}
	for _, n := range native {
		components = append(components, nativeComponent(n))
	}
	var refs []string
	for _, c := range components {
		refs = append(refs, c.BOMRef)
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: "egret", Dependencies: &refs}}
	if len(native) > 0 {
		// What the first, TensorFlow Lite, was linked from is not told by whom we
		// have it from.
		unknown := []cdx.BOMReference{cdx.BOMReference(nativeComponent(native[0]).BOMRef)}
		bom.Compositions = &[]cdx.Composition{{Aggregate: cdx.CompositionAggregateIncomplete, Assemblies: &unknown}}
	}
	return save(path, bom)
}

func save(path string, bom *cdx.BOM) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := cdx.NewBOMEncoder(file, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		file.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return file.Close()
}

func moduleComponent(m linked) (cdx.Component, error) {
	purl := "pkg:golang/" + m.path + "@" + m.version
	c := cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.path, Version: m.version,
		PackageURL: purl, Licenses: choices(strings.Join(m.licence.ids, " AND ")),
	}
	if m.sum == "" {
		return c, nil
	}
	// h1: is SHA-256 over the hashes of the module's files.
	sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.sum, "h1:"))
	if err != nil {
		return c, fmt.Errorf("hash %q of %s: %w", m.sum, m.path, err)
	}
	c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	return c, nil
}

func nativeComponent(n part) cdx.Component {
	c := cdx.Component{
		BOMRef: "native:" + strings.ReplaceAll(n.name, " ", "-"), Type: cdx.ComponentTypeLibrary,
		Name: n.name, Version: n.version, Description: n.description, PackageURL: n.purl,
		Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: n.sha256}},
		Licenses: choices(n.licence),
	}
	if n.model {
		c.BOMRef, c.Type = "model:"+n.name, cdx.ComponentTypeMachineLearningModel
	}
	return c
}

func choices(licence string) *cdx.Licenses {
	if strings.Contains(licence, " ") {
		return &cdx.Licenses{{Expression: licence}}
	}
	return &cdx.Licenses{{License: &cdx.License{ID: licence}}}
}

// serial is a UUID of version 8 (RFC 9562: the maker's own) made of a hash.
func serial(sum []byte) string {
	b := append([]byte(nil), sum[:16]...)
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func timestamp() string {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}
