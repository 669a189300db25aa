package config

import "slices"

// Place is who has the records of a name.
type Place int

// The places.
const (
	PlaceNobody    Place = iota // no part of the configuration knows the name
	PlaceResponder              // our own DNS responder
	PlaceUpdate                 // a name server elsewhere that takes updates
	PlaceAlias                  // elsewhere, with a CNAME that leads to one of the above
)

// Place returns who has the records of name, a domain name in lower case and
// without the final dot, and in which of the configured zones. Where one zone lies
// within another, the inner one counts; so name has to be that of the record:
// _acme-challenge.www.corp.example may be a zone, which www.corp.example is not in.
// zone is empty for [PlaceNobody].
func (r *Responders) Place(name string) (place Place, zone string) {
	look := func(p Place, zones []string) {
		for _, z := range zones {
			if beneath(name, z) && len(z) > len(zone) {
				place, zone = p, z
			}
		}
	}
	if r.DNS != nil {
		look(PlaceResponder, r.DNS.Zones)
	}
	look(PlaceAlias, r.DNSAliases)
	for i := range r.DNSUpdates {
		look(PlaceUpdate, []string{r.DNSUpdates[i].Zone})
	}
	return place, zone
}

// Update returns the zone of that name that takes updates; nil: none does.
func (r *Responders) Update(zone string) *DNSUpdate {
	i := slices.IndexFunc(r.DNSUpdates, func(u DNSUpdate) bool { return u.Zone == zone })
	if i < 0 {
		return nil
	}
	return &r.DNSUpdates[i]
}
