package report

import (
	"encoding/json"
	"fmt"
	"io"
)

// maxJSON bounds what [Decode] reads, in bytes.
const maxJSON = 64 << 20

// JSON writes the report as JSON. What ends in _ns is a number of nanoseconds, times
// are RFC 3339.
func JSON(w io.Writer, r *Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// Decode reads what [JSON] wrote, at most 64 MiB. Fields that it does not know are
// ignored; another version is an error.
func Decode(from io.Reader) (*Report, error) {
	var r Report
	if err := json.NewDecoder(io.LimitReader(from, maxJSON)).Decode(&r); err != nil {
		return nil, fmt.Errorf("decode report: %w", err)
	}
	if r.Version != Version {
		return nil, fmt.Errorf("decode report: its version is %d, and this program knows %d", r.Version, Version)
	}
	return &r, nil
}
