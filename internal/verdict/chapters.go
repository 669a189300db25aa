package verdict

import "github.com/acme-exporter/acme_exporter/internal/probe"

// chapter is a part of the documentation: reasons that have something in common.
type chapter struct {
	title, text string
	reasons     []ReasonDoc
}

var (
	ca          = []probe.Fault{probe.FaultCA}
	client      = []probe.Fault{probe.FaultClient}
	unknown     = []probe.Fault{probe.FaultUnknown}
	unknownOrCA = []probe.Fault{probe.FaultUnknown, probe.FaultCA}
	// Controls tell which.
	byControls     = []probe.Fault{probe.FaultUnknown, probe.FaultUnreachable, probe.FaultLocal}
	caOrByControls = []probe.Fault{probe.FaultUnknown, probe.FaultCA, probe.FaultUnreachable, probe.FaultLocal}
	// Validators' visits, resolvers and other CAs do.
	byValidation = []probe.Fault{probe.FaultUnknown, probe.FaultCA, probe.FaultLocal, probe.FaultClient}
)

func skip(r probe.Reason, summary, seen, whose, do string) ReasonDoc {
	return ReasonDoc{r, probe.OutcomeSkipped, nil, summary, seen, whose, do}
}

func failure(r probe.Reason, faults []probe.Fault, summary, seen, whose, do string) ReasonDoc {
	return ReasonDoc{r, probe.OutcomeFailure, faults, summary, seen, whose, do}
}

// chapters is the closed list of reasons with what they mean.
var chapters = []chapter{
	{"Skipped", "The run ended before it could learn anything about the CA. It is no failure, and no success either: the age of the last evidence grows.", []ReasonDoc{
		skip(Canceled, "the exporter stopped",
			"The exporter was stopping, and the grace period was over.",
			"Nobody's.",
			"Nothing. If it happens at each restart, raise `--shutdown.grace-period`."),
		skip(Budget, "our own budget of the CA's rate limits does not allow it yet",
			"The [ledger](rate-limits.md) has too little left for the run, or the CA has asked us to wait. Nothing was sent that spends.",
			"Nobody's: the CA was not asked.",
			"Nothing, if it is rare: the summary has the time from when on the next run is allowed. If it goes on, `acme_exporter check config` says what the limits let be kept, and `acme_exporter budget show` what is left."),
		skip(RateLimited, "the CA's rate limit is used up",
			"Status 429, or a problem `rateLimited` without status 503, also in an order, authorization or challenge.",
			"Nobody's: the CA works, and we, or others who spend from the same limit, came too often.",
			"What the limit concerns rests by itself as long as the CA has asked for. If it goes on, probe less often, take a smaller `share`, or ask the CA for a higher limit."),
		skip(IdentifierPaused, "the CA has paused the name for this account",
			"Status 429 that speaks of a pause: too many validations of the name have failed in a row.",
			"Nobody's now. Before, validations of the name have failed again and again: see the runs from then.",
			"The name is not ordered any more. Random names and pools take others by themselves. For fixed names: choose others, or order the name once by hand with the same account, follow the link in the CA's answer (it is a secret, and not kept here), and forget the pause with `acme_exporter budget reset`."),
		skip(Unsupported, "the CA does not offer what the module wants",
			"The authorization has no challenge of the module's type, or the directory lacks an optional endpoint or profile that the module needs.",
			"Nobody's: no CA has to offer it.",
			"Choose another challenge or module for this target."),
	}},
	{"Our own side", "", []ReasonDoc{
		failure(Configuration, client, "the configuration or the account makes this run impossible",
			"What the module is told to do cannot be done with this target: terms not agreed to, an external account binding missing.",
			"The configuration's. The CA was not put to the test.",
			"Read the summary of the run and correct the configuration."),
		failure(Local, local, "the exporter itself could not do its part",
			"The state directory, a key, a listener or a responder failed, or the exporter has a defect.",
			"The exporter's host, or the exporter.",
			"Read the summary and the log: disk full, read-only or not ours, port taken. Report an internal error."),
	}},
	{"A record is not where it has to be", "The zone is at name servers elsewhere, and the CA was not yet asked to look: the record could not be written there, or not every name server has it. The summary of the run says which server said what, and what to do. Removing the record after the run fails for the same reasons; it is tried again for a week.", publications},
	{"The CA was not reached", "Whether the CA, the path or our own line is down cannot be told from one failed connection. So [controls](configuration.md#controls) are asked: if all of them are dead, our own line is, and the fault is `local`; if some are alive, the CA is `unreachable`. Without controls it is unknown; compare with other targets and other locations then.", reaching},
	{"Reached, and no whole answer", "The connection stood. If the same host has answered another call of the same run, the path to it works and the fault is the CA's; if not, controls are asked as above.", answering},
	{"Answered, and wrongly", "", wrong},
	{"The certificate is not what was asked for", "Issuing a wrong certificate is the CA's fault whatever the reason. None of these may ever be ignored: a certificate for another key or other names is a misissuance.", certificates},
	{"The validation failed", "The CA says that its validators met an obstacle. That can be our responder, the zone, a firewall, or the CA's own resolvers and network; so others are asked. Validators came to our responders and got what the challenge needs: the CA's. They came and got something else: `local`. Nobody came, and [resolvers](configuration.md#resolvers) find our record where the CA says that DNS failed: the CA's; they do not find it: `client`. Else it is the CA's if another CA has validated names at the same responders within ten minutes, and unknown if none has. That only some of the CA's perspectives failed (`secondary validation`) proves nothing by itself. The visits and what resolvers said are recorded with the run. Where a record is elsewhere nobody comes to us, and there are no visits.", validations},
	{"It did not come to an end", "Every call was answered, and the run's time was over before the object was done.", endings},
	{"The client's, by the CA's word", "These problems are never the CA's.", clients},
	{"Rejected", "In a right world these are the client's defects. They have also been a CA's answers while it was down (Let's Encrypt, 2020-06-25: `malformed`, `badPublicKey`), so from one run alone the fault is unknown. It is the CA's if the same run has succeeded within a day, with the same configuration, binary and account, and has failed for the same reason twice in a row, with another certificate key each time.", rejections},
}

var reaching = []ReasonDoc{
	failure(DNSNotFound, byControls, "the name of the CA does not resolve",
		"The resolver says that the name does not exist or has no address of the wanted family.",
		"Ours if other names fail too or the URL has a typing error, else the CA's zone.",
		"Resolve the name by hand, here and through a public resolver."),
	failure(DNSTimeout, byControls, "the resolver did not answer in time",
		"The look-up of the CA's name got no answer.",
		"Mostly our resolver's, sometimes the CA's name servers'.",
		"Look up another name. If that works, ask the CA's name servers directly."),
	failure(DNSFailed, byControls, "the name of the CA could not be looked up",
		"The look-up failed with another error, such as SERVFAIL.",
		"Our resolver's or the CA's zone's, a broken DNSSEC signature for one.",
		"Look at the message in the run, and ask a second resolver."),
	failure(ConnectRefused, byControls, "the connection was refused",
		"The host answered the TCP handshake with a reset.",
		"The CA's if nothing listens there, ours if a firewall or a proxy says so.",
		"Connect from another network."),
	failure(ConnectTimeout, byControls, "no connection in time",
		"The TCP handshake was not answered.",
		"The CA's host, the path, or our firewall.",
		"Connect from another network; look at `ip_protocol` if only one family fails."),
	failure(ConnectUnreachable, byControls, "there is no route to the CA",
		"The kernel or a router says that network or host are unreachable.",
		"Mostly our own line's, or a host without IPv6 that tries it.",
		"Check the line and the routes; set `ip_protocol` if the host has one family only."),
	failure(ConnectFailed, byControls, "the connection failed",
		"Connecting ended with another error.",
		"Not to be told.",
		"Look at the message in the run."),
	failure(TLSTimeout, byControls, "the TLS handshake did not end in time",
		"TCP stood, and the handshake got no answer.",
		"The CA's load balancer, or a path that swallows large packets.",
		"Try another network, and look at the path's MTU."),
	failure(TLSFailed, byControls, "the TLS handshake failed",
		"The handshake was closed or ended with an alert, before any certificate could be judged.",
		"The CA's, or a middlebox's.",
		"Look at the message in the run; try `openssl s_client`."),
}

var answering = []ReasonDoc{
	failure(TLSCertificate, ca, "the certificate of the CA's API is not to be trusted",
		"The chain does not lead to a trusted root, or the certificate is for another name.",
		"The CA's: its clients see the same. With a CA of your own it may be the trust that is configured here.",
		"With a CA of your own check `tls_config.ca_file`. Behind an intercepting proxy add its root."),
	failure(TLSExpired, ca, "the certificate of the CA's API is not valid now",
		"It has expired or is not yet valid; the run shows its dates.",
		"The CA's, if this host's clock is right.",
		"Check the clock, then tell the CA."),
	failure(NoAnswerTimeout, caOrByControls, "no answer in time",
		"The request was sent, and no byte came back until the run's time was over.",
		"The CA's if the same host answered other calls of the run.",
		"Compare with other locations. If it happens in good times too, raise the module's `timeout`."),
	failure(NoAnswerClosed, caOrByControls, "the connection was closed without an answer",
		"Reset or closed after the request was sent.",
		"The CA's if the same host answered other calls of the run.",
		"Compare with other locations; a proxy of ours may do this too."),
	failure(NoAnswerFailed, caOrByControls, "there was no readable answer",
		"What came back is no HTTP, or breaks it.",
		"The CA's if the same host answered other calls of the run.",
		"Look at the message in the run."),
	failure(BodyTimeout, caOrByControls, "the answer did not end in time",
		"Status and headers came, and the body stood still.",
		"The CA's if the same host answered other calls of the run.",
		"Compare with other locations."),
	failure(BodyClosed, caOrByControls, "the answer broke off",
		"The connection was closed in the midst of the body.",
		"The CA's if the same host answered other calls of the run.",
		"Compare with other locations."),
	failure(BodyFailed, caOrByControls, "the body of the answer cannot be read",
		"A broken transfer or content encoding.",
		"The CA's if the same host answered other calls of the run.",
		"Look at the message in the run."),
	failure(TooLarge, ca, "the answer is too large",
		"Headers or an unpacked body beyond what any ACME answer needs (1 MiB).",
		"The CA's.",
		"Fetch the URL by hand and look at what it is."),
}

var wrong = []ReasonDoc{
	failure(Edge3xx, ca, "the edge answered with a redirect",
		"Status 3xx. ACME has no redirects, and none is followed.",
		"The CA's, or of whoever stands before it.",
		"If the directory has moved, change `directory_url`."),
	failure(Edge4xx, ca, "the edge answered with a client error and no problem document",
		"Status 4xx, and the body is no problem document: a content network or load balancer answered, not the ACME server.",
		"The CA's. A block of our network by its firewall looks the same: compare with other locations.",
		"Check `directory_url`; compare with other locations."),
	failure(Edge5xx, ca, "the edge answered with a server error and no problem document",
		"Status 5xx, and the body is no problem document: what stands before the ACME server cannot reach it.",
		"The CA's.",
		"Wait, and watch the CA's status page."),
	failure(ServerInternal, ca, "the CA has an internal error",
		"A problem `serverInternal`, as an answer or embedded in an order, authorization or challenge, where every HTTP status may be 200.",
		"The CA's, by its own word.",
		"Wait, and watch the CA's status page. The detail often names the part: database, validation, CT logs."),
	failure(HTTP5xx, ca, "the CA has a server error",
		"Status 5xx with a problem document of another type than `serverInternal`, as an answer or embedded; or status 5xx to a HEAD request, whose answer has no room for a document.",
		"The CA's.",
		"Wait, and watch the CA's status page."),
	failure(Throttled, unknownOrCA, "the CA is too busy to serve us",
		"Status 503 with `rateLimited`.",
		"The CA's if it is overloaded: that is so where it publishes how many requests a second it takes, for our own are kept below half of it. Ours if we came too fast.",
		"Probe less often if it lasts. Compare with other locations."),
	failure(UnexpectedLimit, unknown, "the CA says that a rate limit is used up, and by our own ledger it cannot be",
		"Status 429 for a limit from which nobody but this account spends. The ledger has known the CA for longer than the limit remembers, and had enough left.",
		"The CA's if its limiter is broken or its limits were lowered, ours if something else uses the account or the ledger is wrong.",
		"See whether others get certificates, and whether something else orders with the account's key. If the CA has changed its limits, write them in `rate_limits`."),
	failure(BadNonce, ca, "the CA rejected one fresh nonce after the other",
		"`badNonce` for a request and its three retries, each with a nonce that the CA had just given out.",
		"The CA's: its front ends do not share their nonces.",
		"Wait, and watch the CA's status page. A proxy that sends requests to different data centres does this too."),
	failure(UnexpectedStatus, ca, "the CA answered with a status that the call does not have",
		"A status outside 200 to 599, or a 2xx that RFC 8555 does not know for this call.",
		"The CA's.",
		"Report it to the CA."),
	failure(Protocol, ca, "the CA broke the protocol",
		"An answer that is not JSON, lacks a field, a URL or a nonce, has an unknown status or another name than the one asked for.",
		"The CA's, or of whoever answers in its place: an HTML page with status 200.",
		"Check `directory_url`, then report it to the CA."),
	failure(URLRefused, []probe.Fault{probe.FaultCA, probe.FaultClient}, "the URL is one that the CA may not send us to",
		"A URL that is not https or longer than 8 KiB, or an address in a loopback, private, link-local or metadata network in which the directory does not live.",
		"The CA's, which handed it out; the configuration's if it is the directory's own.",
		"If it is right so, add the network to the target's `allow_networks`."),
}

var certificates = []ReasonDoc{
	failure(CertificateKey, ca, "the certificate has another key than the request",
		"The leaf's public key is not the one of the certificate request.",
		"The CA's.",
		"Report it to the CA at once: it is a misissuance."),
	failure(CertificateNames, ca, "the certificate has other names than the order",
		"A name is missing, or there is one that nobody asked for.",
		"The CA's.",
		"Report it to the CA at once: it is a misissuance."),
	failure(CertificateValidity, []probe.Fault{probe.FaultCA, probe.FaultLocal}, "the certificate is not valid now",
		"Now is not between notBefore and notAfter.",
		"The CA's; ours if the times in the CA's own answers say that this host's clock is off by more than 30 s.",
		"Check the clock, then report it to the CA."),
	failure(CertificateOrder, ca, "the chain is not in order",
		"A certificate is not followed by the one that issued it (RFC 8555 §9.1).",
		"The CA's.",
		"Report it to the CA: servers that send this chain fail."),
	failure(CertificateSignatures, ca, "a signature in the chain is wrong",
		"A certificate is not signed by the next one's key.",
		"The CA's.",
		"Report it to the CA at once."),
	failure(CertificateUnreadable, ca, "what was downloaded is no certificate chain",
		"Empty, not PEM, not X.509, or too many certificates.",
		"The CA's.",
		"Report it to the CA."),
}
