package parts

// ControlURL is where the tests talk to the process around Pebble; the CA's outages do
// not touch it.
func (p *Pebble) ControlURL() string { return p.control }
