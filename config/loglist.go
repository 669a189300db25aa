package config

import promconfig "github.com/prometheus/common/config"

// LogList returns what LogListFile held when the configuration was loaded; nil:
// there is none.
func (c *Config) LogList() []byte { return c.logList }

// VerifiesSCTs reports whether the SCTs in certificates of the CA are verified: not
// those of staging systems, whose logs no list has, and those of a CA that is none of
// the presets only if the configuration has a list of its own.
func (t *Target) VerifiesSCTs() bool {
	if t.Preset == "" {
		return t.ownLogList
	}
	return t.Environment != Staging
}

// completeLogList resolves the file against dir and reads it. Whether it is a list
// of logs, the package ct knows.
func (c *Config) completeLogList(ps *problems, at path, dir string) {
	if c.LogListFile == "" {
		return
	}
	c.LogListFile = promconfig.JoinDir(dir, c.LogListFile)
	data, err := readFile(c.LogListFile)
	if err != nil {
		ps.add(at, "%q: %s", c.LogListFile, err)
		ps.broken[at] = true
		return
	}
	c.logList = append([]byte{}, data...) // never nil
	for _, t := range c.Targets {
		t.ownLogList = true
	}
}
