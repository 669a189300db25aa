package dashboards

import (
	"os"
	"testing"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

func TestMain(m *testing.M) { os.Exit(parts.Main(m)) }
