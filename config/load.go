package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxFile bounds a configuration file, and each file that it names.
const maxFile = 8 << 20

// Load reads the file at path, fills in defaults and what presets say, and
// checks the whole of it. Its error joins one *[Error] for each mistake, in the
// order of the file.
func Load(path string) (*Config, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, &Error{File: path, Problem: err.Error()}
	}
	return Parse(path, data)
}

// Parse is [Load] of data that has been read already. Files that the
// configuration names are relative to the directory of name, which is also
// what positions begin with.
func Parse(name string, data []byte) (*Config, error) {
	ps := newProblems(name)
	c := &Config{source: ps}
	if root, ok := parseTree(ps, data); ok {
		d := &decoder{problems: ps, open: map[*yaml.Node]bool{}}
		d.value(root, reflect.ValueOf(c).Elem(), "")
		if !ps.isBroken("") {
			c.complete(ps, filepath.Dir(name))
			c.validate(ps)
		}
	}
	if err := ps.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// parseTree returns the root of the only document in data.
func parseTree(ps *problems, data []byte) (root *yaml.Node, ok bool) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}, true
	case err != nil:
		ps.list = append(ps.list, syntaxError(ps.file, err))
		return nil, false
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		ps.list = append(ps.list, syntaxError(ps.file, err))
		return nil, false
	default:
		ps.addAt(position{second.Line, second.Column}, "", "a second YAML document begins here: write everything into one")
	}
	return doc.Content[0], true
}

var yamlLine = regexp.MustCompile(`^line (\d+): (.*)$`)

// syntaxError turns an error of yaml.v3's parser into ours. It knows no
// columns, and no line where that would be the first.
func syntaxError(file string, err error) *Error {
	e := &Error{File: file, Line: 1, Problem: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(e.Problem); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Problem = m[2]
	}
	e.Problem = "not YAML: " + e.Problem
	return e
}

// readFile reads a regular file of bounded size. Its error begins with a verb
// and leaves the name out where the system's would repeat it.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open it: %w", withoutPath(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read it: %w", withoutPath(err))
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("cannot read it: not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read it: %w", withoutPath(err))
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("cannot read it: longer than %d bytes", maxFile)
	}
	return data, nil
}

func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
