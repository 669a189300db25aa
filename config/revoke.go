package config

import (
	"slices"
	"time"

	"github.com/prometheus/common/model"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

// Revoke has certificates revoked after they were downloaded and checked: each stays
// on the CA's revocation list until it expires.
type Revoke struct {
	// Reason is what the CA is told; default unspecified. keyCompromise blocks the
	// key, and is for private CAs only.
	Reason probe.RevocationReason `yaml:"reason,omitempty"`
	// Every is the least time between two revocations of a pair; default 24 h.
	Every model.Duration `yaml:"every,omitempty"`
}

const (
	defaultRevokeEvery = 24 * time.Hour
	minRevokeEvery     = time.Minute
)

func (r *Revoke) complete(ps *problems, at path) {
	if r.Reason == "" {
		r.Reason = probe.ReasonUnspecified
	}
	if r.Every == 0 && !ps.written(at.key("every")) {
		r.Every = model.Duration(defaultRevokeEvery)
	}
}

func (r *Revoke) validate(ps *problems, at path) {
	only(ps, at.key("reason"), r.Reason, probe.RevocationReasons()...)
	if time.Duration(r.Every) < minRevokeEvery {
		ps.add(at.key("every"), "want at least %s, got %s: each revocation stays on the CA's list until the certificate expires", duration(minRevokeEvery), r.Every)
	}
}

// revokeFloor is the least time between two revocations of a pair at a preset's CA,
// unless own_ca lifts it: everybody who checks downloads its lists.
func (s *Preset) revokeFloor() time.Duration {
	if s.Environment == Production {
		return 24 * time.Hour
	}
	return time.Hour
}

// validateRevoke checks that the target's CA may be asked for what the module wants.
// at is where the module is used.
func validateRevoke(ps *problems, at path, t *Target, preset *Preset, name string, m *Module) {
	if m.Prober != probe.ProberIssue || m.Issue == nil || m.Issue.Revoke == nil || preset == nil || t.OwnCA {
		return
	}
	revoke, section := m.Issue.Revoke, path("modules").keys(name, "issue", "revoke")
	if ps.isBroken(section) {
		return
	}
	if floor := preset.revokeFloor(); time.Duration(revoke.Every) >= minRevokeEvery && time.Duration(revoke.Every) < floor && !ps.isBroken(section.key("every")) {
		ps.add(at, "the module %s revokes a certificate every %s (%s), which is too often for %s: choose %s or more (or own_ca: true, if this CA is yours)",
			name, revoke.Every, ps.where(section.key("every")), preset.CA, duration(floor))
	}
	if revoke.Reason == probe.ReasonKeyCompromise {
		public := slices.DeleteFunc(probe.RevocationReasons(), func(r probe.RevocationReason) bool { return r == probe.ReasonKeyCompromise })
		ps.add(at, "the module %s revokes with the reason keyCompromise (%s), which makes %s block the key: choose %s (or own_ca: true, if this CA is yours)",
			name, ps.where(section.key("reason")), preset.CA, oneOf(public))
	}
}
