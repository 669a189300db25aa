package parts

import (
	"path/filepath"
	"strings"
	"testing"
)

// StartAlertmanager starts the pinned Alertmanager at the address in the namespace,
// alone, and waits until it is ready.
func (n *Namespace) StartAlertmanager(tb testing.TB, address, configuration string) {
	tb.Helper()
	dir := tb.TempDir()
	file := filepath.Join(dir, "alertmanager.yml")
	write(tb, file, []byte(configuration))
	p := Start(tb, n.Command(strings.TrimSpace(Make(tb, "tool-alertmanager")), "--config.file="+file,
		"--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--cluster.listen-address="))
	n.awaitReady(tb, p, "http://"+address+"/-/ready")
}
