package verdict

import "github.com/acme-exporter/acme_exporter/internal/probe"

var local = []probe.Fault{probe.FaultLocal}

var publications = []ReasonDoc{
	failure(PublicationRefused, client, "the configuration and the zone elsewhere do not go together",
		"The server refused the update (`NOTAUTH`, `NOTZONE`, `REFUSED`, or the key's `BADKEY`, `BADSIG`, `BADTIME`), a CNAME that is to lead into one of our zones leads elsewhere or is missing, name servers contradict each other or do not serve the zone, the key's secret cannot be read, or a standing record is missing or another one's.",
		"The configuration's, or the zone's. The CA was not put to the test.",
		"Read the summary of the run: it names the key, the permission or the record. After that `acme_exporter check config --online` tries it without the CA."),
	failure(PublicationUnreachable, local, "a name server of the zone could not be asked",
		"No answer from the server that takes updates, from a name server of the zone or from any of the `resolvers`, or one that is no use, such as `SERVFAIL`.",
		"Those name servers', or the way to them. The CA was not put to the test.",
		"Ask the server that the summary names by hand, from this host: `dig @SERVER ZONE SOA`, with UDP and with `+tcp`."),
	failure(PublicationIncomplete, local, "not every name server of the zone had the record in time",
		"At least one authoritative server of the zone still lacked a record, written or standing, after half of the time that the run had left.",
		"The zone's transfer: a secondary does not get it, or only at its next refresh. The CA was not put to the test.",
		"See that the primary notifies the server that the summary names, and that the server may transfer the zone. If it only takes long, raise the module's `timeout`."),
}
