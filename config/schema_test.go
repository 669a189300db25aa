package config

import (
	"reflect"
	"testing"
)

// schemaPaths lists every key that a file can have, as targets.NAME.preset.
func schemaPaths() []string { return pathsBeneath(reflect.TypeFor[Config](), "") }

func pathsBeneath(t reflect.Type, at string) (paths []string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case isScalar(t):
		return nil
	case t.Kind() == reflect.Map:
		return pathsBeneath(t.Elem(), at+".NAME")
	case t.Kind() == reflect.Slice:
		return pathsBeneath(t.Elem(), at+"[]")
	}
	for _, f := range fieldsOf(t) {
		p := f.name
		if at != "" {
			p = at + "." + f.name
		}
		paths = append(paths, p)
		paths = append(paths, pathsBeneath(f.typ, p)...)
	}
	return paths
}

// TestSchema holds that every field has a key, and no two of a struct the same.
func TestSchema(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range schemaPaths() {
		if seen[p] {
			t.Errorf("%s is there twice", p)
		}
		seen[p] = true
		if p[len(p)-1] == '.' {
			t.Errorf("%s has no name", p)
		}
	}
	for _, want := range []string{"targets", "targets.NAME.tls_config.ca_file", "targets.NAME.proxy_url", "responders.dns.caa[].tag", "modules.NAME.issue.names.zone"} {
		if !seen[want] {
			t.Errorf("%s is missing", want)
		}
	}
	if seen["targets.NAME.tls_config.ca_ref"] {
		t.Error("references to a secret manager are in the schema")
	}
}
