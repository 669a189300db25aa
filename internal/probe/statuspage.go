package probe

import "time"

// StatusFormat is how a status page was written.
type StatusFormat string

// The formats.
const (
	StatusIO   StatusFormat = "status.io"  // the public JSON of status.io
	Statuspage StatusFormat = "statuspage" // the JSON of Atlassian's Statuspage
	StatusFeed StatusFormat = "feed"       // Atom (RFC 4287) or RSS
)

// ServiceState is how a CA says that it is, or a part of it.
type ServiceState string

// The states.
const (
	ServiceOperational ServiceState = "operational"
	ServiceMaintenance ServiceState = "maintenance"
	ServiceDegraded    ServiceState = "degraded"
	ServicePartial     ServiceState = "partial_outage"
	ServiceMajor       ServiceState = "major_outage"
	ServiceUnknown     ServiceState = "unknown" // in words that are not known
)

// ServiceStates lists every state, from the best to the worst.
func ServiceStates() []ServiceState {
	return []ServiceState{
		ServiceOperational, ServiceUnknown, ServiceMaintenance, ServiceDegraded, ServicePartial, ServiceMajor,
	}
}

// StatusPage is what a CA says of itself on its status page. All words in it are
// bounded and scrubbed.
type StatusPage struct {
	URL    string       `json:"url"` // without its query
	Format StatusFormat `json:"format"`
	Bytes  int64        `json:"bytes"`
	// Overall is empty where the page does not say, as feeds do not.
	Overall ServiceState `json:"overall,omitempty"`
	// Components in the page's order, each name once; at most 100.
	Components []Component `json:"components,omitempty"`
	// Announcements of incidents, the latest first; at most 20. Those of planned
	// maintenance are not among them.
	Announcements []Announcement `json:"announcements,omitempty"`
}

// Component is a part of the CA as its status page has it.
type Component struct {
	Name  string       `json:"name"`
	State ServiceState `json:"state"`
	// Watched says that the module names it.
	Watched bool `json:"watched,omitempty"`
}

// Announcement is an incident as the CA's status page tells of it.
type Announcement struct {
	Name string `json:"name"`
	// Start is when it was published: when the page first said so, not when the CA
	// thinks that it began.
	Start time.Time `json:"start"`
	// End is when the page said that it is over; zero: it has not.
	End time.Time `json:"end,omitzero"`
	// URL is the announcement's, of http or https; empty: it has none.
	URL string `json:"url,omitempty"`
	// Components are the names of those affected, at most 20; empty: the page does not
	// say.
	Components []string `json:"components,omitempty"`
}

// Official is what a CA's own status page has said of an incident.
type Official struct {
	Start time.Time `json:"start"` // when it was published
	Name  string    `json:"name"`
	URL   string    `json:"url,omitempty"`
	// Lead is Start less the incident's own start: how much earlier we knew. Negative:
	// they were first.
	Lead time.Duration `json:"lead_ns"`
}
