// Package e2e_test holds what acme_exporter does to real CAs, in processes of
// their own, and what it does when it is stopped or killed meanwhile.
package e2e_test

import (
	"flag"
	"os"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(parts.Main(m))
}
