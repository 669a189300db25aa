package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"

	promconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"gopkg.in/yaml.v3"
)

// maxValues bounds how many values are read, aliases counted each time they
// are used: a few lines of aliases to aliases could stand for billions.
const maxValues = 200_000

// decoder reads a tree of nodes into structs. yaml.v3's own decoding knows
// lines but neither columns nor paths, forgets KnownFields beneath a
// node.Decode, and stops at the first error of an UnmarshalYAML; so this goes
// through the tree itself and tells of everything.
type decoder struct {
	*problems
	values int
	// open are the aliased nodes that are being read, to notice one that
	// contains itself.
	open map[*yaml.Node]bool
}

// value reads n, which stands at p, into out.
func (d *decoder) value(n *yaml.Node, out reflect.Value, p path) {
	if out.Kind() == reflect.Pointer {
		// Even if nothing can be read into it: what is written is never nil.
		out.Set(reflect.New(out.Type().Elem()))
		out = out.Elem()
	}
	if !d.count(n, p, 1) {
		return
	}
	if n.Kind == yaml.AliasNode {
		if d.open[n.Alias] {
			d.unreadable(n, p, "the alias %q contains itself", n.Value)
			return
		}
		d.open[n.Alias] = true
		d.value(n.Alias, out, p)
		delete(d.open, n.Alias)
		return
	}
	switch {
	case out.Type() == reflect.TypeFor[RateLimits]() && n.Kind == yaml.ScalarNode && !isNull(n):
		d.rateLimits(n, out, p)
	case isScalar(out.Type()):
		d.scalar(n, out, p)
	case out.Kind() == reflect.Slice:
		d.list(n, out, p)
	case out.Kind() == reflect.Map:
		d.mapOf(n, out, p)
	default:
		d.structOf(n, out, p)
	}
}

// count counts values, and reports whether there are still few enough.
func (d *decoder) count(n *yaml.Node, p path, more int) bool {
	few := d.values <= maxValues
	d.values += more
	if few && d.values > maxValues {
		d.unreadable(n, p, "more than %d values once aliases are followed: write less, or fewer aliases", maxValues)
		d.broken[""] = true // whatever else could be said would be wrong
	}
	return d.values <= maxValues
}

// unreadable tells of a value that could not be read.
func (d *decoder) unreadable(n *yaml.Node, p path, format string, args ...any) {
	d.addAt(position{n.Line, n.Column}, p, format, args...)
	d.broken[p] = true
}

func isScalar(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix](), reflect.TypeFor[promconfig.URL]():
		return true
	}
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Map && t.Kind() != reflect.Slice
}

func (d *decoder) list(n *yaml.Node, out reflect.Value, p path) {
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		d.unreadable(n, p, "want a list, got %s", kindOf(n))
		return
	}
	out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		at := p.index(i)
		d.at[at] = position{item.Line, item.Column}
		d.value(item, out.Index(i), at)
	}
}

func (d *decoder) mapOf(n *yaml.Node, out reflect.Value, p path) {
	entries, ok := d.mapping(n, p)
	if !ok {
		return
	}
	out.Set(reflect.MakeMap(out.Type()))
	for _, e := range entries {
		v := reflect.New(out.Type().Elem()).Elem()
		d.entry(e, v, p)
		out.SetMapIndex(reflect.ValueOf(e.key.Value), v)
	}
}

func (d *decoder) structOf(n *yaml.Node, out reflect.Value, p path) {
	entries, ok := d.mapping(n, p)
	if !ok {
		return
	}
	fields := fieldsOf(out.Type())
	names := make([]string, len(fields))
	index := make(map[string][]int, len(fields))
	for i, f := range fields {
		names[i] = f.name
		index[f.name] = f.index
	}
	for _, e := range entries {
		at, ok := index[e.key.Value]
		if ok {
			d.entry(e, out.FieldByIndex(at), p)
			continue
		}
		hint := "known are " + strings.Join(names, ", ")
		if near := nearest(e.key.Value, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
			if !slices.ContainsFunc(entries, func(e entry) bool { return e.key.Value == near }) {
				// That key is missing, then; once is enough to say so.
				d.broken[p.key(near)] = true
			}
		}
		d.addAt(position{e.key.Line, e.key.Column}, p.key(e.key.Value), "unknown key: %s", hint)
	}
}

func (d *decoder) entry(e entry, out reflect.Value, p path) {
	at := p.key(e.key.Value)
	pos := position{e.key.Line, e.key.Column}
	if e.value.Kind == yaml.ScalarNode && e.value.Line > 0 && !isNull(e.value) {
		pos = position{e.value.Line, e.value.Column}
	}
	d.at[at] = pos
	if isNull(e.value) && isScalar(out.Type()) {
		d.unreadable(e.key, at, "has no value: give it one, or remove the key")
		return
	}
	d.value(e.value, out, at)
}

// entry is a key of a mapping with its value.
type entry struct{ key, value *yaml.Node }

// mapping returns the entries of n in order; merged ones (<<) come last, and
// only where n has no key of its own. An empty value is an empty mapping.
func (d *decoder) mapping(n *yaml.Node, p path) (entries []entry, ok bool) {
	if isNull(n) {
		return nil, true
	}
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		d.unreadable(n, p, "want a mapping, got %s", kindOf(n))
		return nil, false
	}
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.AliasNode {
			k = &yaml.Node{Kind: k.Alias.Kind, Tag: k.Alias.Tag, Value: k.Alias.Value, Line: k.Line, Column: k.Column}
		}
		if k.Kind != yaml.ScalarNode {
			d.addAt(position{k.Line, k.Column}, p, "a key must be a single value, not %s", kindOf(k))
			continue
		}
		if k.ShortTag() == "!!merge" {
			merged = append(merged, v)
			continue
		}
		if first := seen[k.Value]; first != nil {
			d.addAt(position{k.Line, k.Column}, p.key(k.Value), "duplicate key: it is already at line %d", first.Line)
			continue
		}
		seen[k.Value] = k
		entries = append(entries, entry{k, v})
	}
	for _, m := range merged {
		for _, e := range d.merged(m, p) {
			if seen[e.key.Value] == nil {
				seen[e.key.Value] = e.key
				entries = append(entries, e)
			}
		}
	}
	return entries, true
}

// merged returns the entries that a merge key's value n stands for.
func (d *decoder) merged(n *yaml.Node, p path) (entries []entry) {
	if !d.count(n, p, 1) {
		return nil
	}
	source := n
	if n.Kind == yaml.AliasNode {
		source = n.Alias
		if d.open[source] {
			d.unreadable(n, p, "the alias %q contains itself", n.Value)
			return nil
		}
		d.open[source] = true
		defer delete(d.open, source)
	}
	switch source.Kind {
	case yaml.MappingNode:
		entries, _ = d.mapping(source, p)
		d.count(n, p, len(entries))
	case yaml.SequenceNode:
		for _, item := range source.Content {
			entries = append(entries, d.merged(item, p)...)
		}
	default:
		d.addAt(position{n.Line, n.Column}, p, "<< merges mappings, not %s", kindOf(source))
	}
	return entries
}

// scalar reads a single value. Problems do not quote what may be a secret.
func (d *decoder) scalar(n *yaml.Node, out reflect.Value, p path) {
	want := wanted(out)
	if n.Kind != yaml.ScalarNode {
		d.unreadable(n, p, "want %s, got %s", want, kindOf(n))
		return
	}
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp", "!!merge":
	case "!!null":
		d.unreadable(n, p, "has no value: want %s", want)
		return
	default:
		d.unreadable(n, p, "the tag %q is not supported: want %s", tag, want)
		return
	}
	if err := setScalar(n, out); err != nil {
		switch {
		case secretive(out.Type()):
			d.unreadable(n, p, "want %s", want)
		case want == "a duration such as 30s, 5m or 1h30m" && strings.HasPrefix(n.Value, "-"):
			d.unreadable(n, p, "want %s, got the negative %q", want, n.Value)
		default:
			d.unreadable(n, p, "want %s, got %q", want, n.Value)
		}
	}
}

// rateLimits reads the one word that rate_limits can be instead of a mapping.
func (d *decoder) rateLimits(n *yaml.Node, out reflect.Value, p path) {
	if n.Value != rateLimitsNone {
		d.unreadable(n, p, "want none, or a mapping such as {share: 0.25, new_orders: {count: 300, period: 3h}}, got %q", n.Value)
		return
	}
	out.Set(reflect.ValueOf(RateLimits{None: true}))
}

func setScalar(n *yaml.Node, out reflect.Value) (err error) {
	switch v := out.Addr().Interface().(type) {
	case *model.Duration:
		*v, err = model.ParseDuration(n.Value)
	case *netip.Addr:
		*v, err = netip.ParseAddr(n.Value)
	case *netip.Prefix:
		*v, err = netip.ParsePrefix(n.Value)
	case *promconfig.URL:
		v.URL, err = url.Parse(n.Value)
	case *promconfig.TLSVersion:
		version, ok := promconfig.TLSVersions[n.Value]
		if !ok {
			return fmt.Errorf("unknown TLS version %q", n.Value)
		}
		*v = version
	default:
		if out.Kind() == reflect.String {
			out.SetString(n.Value)
			return nil
		}
		err = n.Decode(v)
	}
	return err
}

// secretive reports whether values of t may hold a secret.
func secretive(t reflect.Type) bool {
	return t == reflect.TypeFor[promconfig.Secret]() || t == reflect.TypeFor[promconfig.URL]()
}

// wanted says in words what a scalar must be.
func wanted(out reflect.Value) string {
	switch out.Interface().(type) {
	case model.Duration:
		return "a duration such as 30s, 5m or 1h30m"
	case netip.Addr:
		return "an IP address"
	case netip.Prefix:
		return "a network such as 10.0.0.0/8"
	case promconfig.URL:
		return "a URL such as http://proxy.corp.example:3128"
	case promconfig.TLSVersion:
		return "TLS12 or TLS13"
	}
	switch out.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Uint8:
		return "a whole number from 0 to 255"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	default:
		return "a text"
	}
}

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		if n.ShortTag() != "!!map" {
			return fmt.Sprintf("one with the tag %q", n.ShortTag())
		}
		return "a mapping"
	case yaml.SequenceNode:
		if n.ShortTag() != "!!seq" {
			return fmt.Sprintf("one with the tag %q", n.ShortTag())
		}
		return "a list"
	}
	if isNull(n) {
		return "nothing"
	}
	return "a single value"
}

// field is a key of the schema.
type field struct {
	name  string
	index []int
	typ   reflect.Type
}

// fieldsOf returns the keys that a struct has in the file, in its own order.
func fieldsOf(t reflect.Type) (fields []field) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported() || name == "-":
		case options == "inline":
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{f.Index[0]}, inner.index...)
				fields = append(fields, inner)
			}
		case t == reflect.TypeFor[promconfig.TLSConfig]() && strings.HasSuffix(name, "_ref"):
			// References to a secret manager, which only Prometheus has.
		default:
			fields = append(fields, field{name, f.Index, f.Type})
		}
	}
	return fields
}
