package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
)

// families are all the families of /metrics, by who owns them: a family is
// declared in this file and nowhere else.
type families struct {
	runs       runFamilies
	calls      callFamilies
	validation validationFamilies
	issued     certificateFamilies
	beside     besideFamilies
	renewals   renewalFamilies
	revoked    revocationFamilies
	status     statusFamilies
	target     targetFamilies
	limits     limitFamilies
	incidents  incidentFamilies
	exporter   exporterFamilies
}

// declare is the table of all families. docs/metrics.md is made from it.
func declare(d *declarer) *families {
	return &families{
		runs:       declareRuns(d),
		calls:      declareCalls(d),
		validation: declareValidation(d),
		issued:     declareCertificates(d),
		beside:     declareBeside(d),
		renewals:   declareRenewals(d),
		revoked:    declareRevocations(d),
		status:     declareStatus(d),
		target:     declareTarget(d),
		limits:     declareLimits(d),
		incidents:  declareIncidents(d),
		exporter:   declareExporter(d),
	}
}

// runFamilies are about a pair's runs as a whole.
type runFamilies struct {
	probes      *prometheus.CounterVec
	failures    *prometheus.CounterVec
	success     *prometheus.GaugeVec
	lastRun     *prometheus.GaugeVec
	lastSuccess *prometheus.GaugeVec
	nextDue     *prometheus.GaugeVec
	duration    *prometheus.HistogramVec
	steps       *prometheus.HistogramVec
	info        *prometheus.GaugeVec
	followUps   *prometheus.CounterVec
	missed      *prometheus.CounterVec
}

func declareRuns(d *declarer) runFamilies {
	return runFamilies{
		probes: d.counter(ofPair, "acme_probes_total",
			"Runs by outcome (success, failure, skipped) and, of failures, by whose fault it is (ca, unreachable, local, client, unknown). All seven combinations exist from the start. Follow-ups are not counted here.",
			"outcome", "fault"),
		failures: d.counter(ofPair, "acme_probe_failures_total",
			"Failed runs by the step that failed and the reason. A series is created when it is first seen, so that increase() misses its first event: made for dashboards, not for alerts.",
			"stage", "reason"),
		success: d.gauge(ofPair, "acme_probe_success",
			"Whether the last run that gave evidence succeeded: 1 or 0. A skipped run leaves it as it was."),
		lastRun: d.gauge(ofPair, "acme_probe_last_run_timestamp_seconds",
			"When the last run ended, whatever its outcome."),
		lastSuccess: d.gauge(ofPair, "acme_probe_last_success_timestamp_seconds",
			"When the last successful run ended."),
		nextDue: d.gauge(ofPair, "acme_probe_next_due_timestamp_seconds",
			"When the schedule starts the next run. Absent for pairs that run only when scraped."),
		duration: d.histogram(ofPair, "acme_probe_duration_seconds", runBounds,
			"Duration of runs that succeeded or failed. Skipped runs and follow-ups are not in it."),
		steps: d.histogram(ofPair, "acme_step_duration_seconds", stepBounds,
			"Duration of the steps that succeeded: validation is from challenge accepted to authorization valid, finalization from finalize sent to order valid. publication, which only runs with a record at name servers elsewhere have, is from the first look for its place until every name server has it. account is that of modules with the prober account: others make an account once. The validation and the finalization of a module with `issue.expect`, and the step in which the CA refuses, are not in it. The steps that are ours alone (setup, certificate) and those of follow-ups are not in it: a revocation is one call, revoke-cert.",
			"step"),
		info: d.gauge(ofPair, "acme_probe_info",
			"Always 1: the pair's prober, and its challenge type where it solves one.",
			"prober", "challenge"),
		followUps: d.counter(ofPair, "acme_follow_ups_total",
			"Attempts to do what a run left to be done, by kind (deactivate_authz, withdraw_records, revoke, watch_revocation) and outcome. One that fails or is skipped is tried again until it expires: a revocation that is watched is skipped as long as it does not show yet, and a failure when it does not after 24 h.",
			"kind", "outcome"),
		missed: d.counter(ofPair, "acme_exporter_schedule_missed_total",
			"Ticks of the schedule that neither started a run nor joined one."),
	}
}

// callFamilies are about single HTTP exchanges with a CA.
type callFamilies struct {
	duration   *prometheus.HistogramVec
	requests   *prometheus.CounterVec
	retries    *prometheus.CounterVec
	connection *prometheus.HistogramVec
}

func declareCalls(d *declarer) callFamilies {
	return callFamilies{
		duration: d.histogram(ofPair, "acme_request_duration_seconds", requestBounds,
			"Duration of the API calls that were answered, whatever the status, from connection ready to the last byte: the CA's time and one round trip. Setting up the connection is not in it, and neither are the calls to make and change an account of modules with another prober than account.",
			"call"),
		requests: d.counter(ofPair, "acme_requests_total",
			"API calls by HTTP status. The code is other for a status that is rare or not one of that call (404 is one of GET requests), and none if there was no whole answer.",
			"call", "code"),
		retries: d.counter(ofPair, "acme_request_retries_total",
			"API calls that repeated one before, by why: bad_nonce, other.",
			"call", "cause"),
		connection: d.histogram(ofTarget, "acme_connection_duration_seconds", connectionBounds,
			"Duration of the phases (dns, connect, tls) of opening connections to the CA's API; only phases that succeeded.",
			"phase"),
	}
}

// validationFamilies are about the CA's validators at our responders.
type validationFamilies struct {
	requests *prometheus.CounterVec
	networks *prometheus.GaugeVec
	few      *prometheus.GaugeVec
	delay    *prometheus.HistogramVec
	spread   *prometheus.HistogramVec
}

func declareValidation(d *declarer) validationFamilies {
	return validationFamilies{
		requests: d.counter(ofPair, "acme_validation_requests_total",
			"Requests of validators at our responders, by challenge type and address family (ip4, ip6).",
			"challenge", "family"),
		networks: d.gauge(ofPair, "acme_validation_networks",
			"Networks (/24 or /48) from which validators fetched the answer during the last validation, by address family: the CA's perspectives. Of several names the one with the fewest counts. 0: nobody fetched it. Absent where nobody came and the records are at name servers elsewhere.",
			"family"),
		few: d.gauge(ofPair, "acme_validation_networks_below_minimum",
			"Whether validators fetched the answer from fewer networks than the module's `minimum_networks` during the last validation: 1 or 0. It is a warning, and no failure. Absent without `minimum_networks`, and where their addresses are not public ones.",
		),
		delay: d.histogram(ofPair, "acme_validation_first_request_delay_seconds", firstRequestBounds,
			"Time from challenge accepted to the first request that fetched the answer, by its address family. An address of ours that does not work shows as the other family's delay.",
			"family"),
		spread: d.histogram(ofPair, "acme_validation_spread_seconds", firstRequestBounds,
			"Time from the first to the last request that fetched the answer, for each name that was validated: how far apart the CA's perspectives are."),
	}
}

// certificateFamilies are about what was issued.
type certificateFamilies struct {
	notBefore   *prometheus.GaugeVec
	notAfter    *prometheus.GaugeVec
	checkPassed *prometheus.GaugeVec
	checkFailed *prometheus.CounterVec
	misissued   *prometheus.CounterVec
	warnings    *prometheus.GaugeVec
	scts        *prometheus.GaugeVec
}

func declareCertificates(d *declarer) certificateFamilies {
	return certificateFamilies{
		notBefore: d.gauge(ofPair, "acme_certificate_not_before_timestamp_seconds",
			"Start of the validity of the last certificate that was issued."),
		notAfter: d.gauge(ofPair, "acme_certificate_not_after_timestamp_seconds",
			"End of the validity of the last certificate that was issued."),
		checkPassed: d.gauge(ofPair, "acme_certificate_check_passed",
			"Whether the last certificate that was issued passed the check (key, names, validity, order, signatures, profile, serial, key_usage, extensions, trust, lint, scts): 1 or 0. A check that was not made has no series.",
			"check"),
		checkFailed: d.counter(ofPair, "acme_certificate_check_failures_total",
			"Certificates that failed the check. It goes on after a restart.",
			"check"),
		misissued: d.counter(ofPair, "acme_misissued_total",
			"What the CA gave though it had to refuse, of modules with `issue.expect`; only what is proved. A run counts once: as `certificate`, or as `authorization` where no certificate came of it by its end; one that comes later counts too. It goes on after a restart.",
			"kind"),
		warnings: d.gauge(ofPair, "acme_certificate_lint_warnings",
			"Warnings of zlint about the last certificate that was issued, where the module says `lint: true`."),
		scts: d.gauge(ofPair, "acme_certificate_scts",
			"Signed certificate timestamps (RFC 6962) embedded in the last certificate that was issued. Absent where none are expected, as of a private CA, and where they cannot be read."),
	}
}

// targetFamilies are about a CA as a whole, whichever pair saw it.
type targetFamilies struct {
	apiNotBefore, apiNotAfter *prometheus.GaugeVec
	changes                   *prometheus.CounterVec
	lastChange                *prometheus.GaugeVec
}

func declareTarget(d *declarer) targetFamilies {
	return targetFamilies{
		apiNotBefore: d.gauge(ofTarget, "acme_api_certificate_not_before_timestamp_seconds",
			"Start of the validity of the certificate that the CA's own API presented last, trusted or not."),
		apiNotAfter: d.gauge(ofTarget, "acme_api_certificate_not_after_timestamp_seconds",
			"End of the validity of the certificate that the CA's own API presented last, trusted or not."),
		changes: d.counter(ofTarget, "acme_directory_changes_total",
			"Times that the directory differed from the one before in its endpoints (those of RFC 8555 and RFC 9773), terms of service, profiles, CAA identities or need of an external account. It goes on after a restart where there is a state directory."),
		lastChange: d.gauge(ofTarget, "acme_directory_last_change_timestamp_seconds",
			"When the directory was last seen to differ from the one before; the run has in what. Absent until that has happened."),
	}
}

// limitFamilies are about a CA's rate limits.
type limitFamilies struct {
	remaining, capacity *prometheus.Desc
	refused             *prometheus.CounterVec
	ledgerOK            *prometheus.Desc
}

// nameRemaining is the family whose name stands for all that one collector makes.
const nameRemaining = "acme_rate_limit_remaining"

func declareLimits(d *declarer) limitFamilies {
	return limitFamilies{
		remaining: d.scraped(ofTarget, "gauge", nameRemaining,
			"What our own budget has left of the CA's rate limit, in whole tokens, by the key (domain, identifier, set of names) that has the fewest. Absent for targets that spend nothing, where the CA has no limits or none are known, and while the ledger cannot be read.",
			"limit"),
		capacity: d.scraped(ofTarget, "gauge", "acme_rate_limit_capacity",
			"What the budget of a key holds when nothing was spent: our share of what the CA gives.",
			"limit"),
		refused: d.counter(ofTarget, "acme_rate_limited_total",
			"Runs that the CA itself refused because of a rate limit (HTTP 429, or the problem rateLimited without 503). The limit is requests for those per second and address, unknown where the CA named none that we know. What our own budget held back is not in it, nor are follow-ups.",
			"limit"),
		ledgerOK: d.scraped(ofExporter, "gauge", "acme_budget_ledger_ok",
			"Whether the ledger of what was spent of rate limits can be read and written: 1 or 0. While it is 0, nothing is ordered where limits are known. Absent where no ledger is kept."),
	}
}

// incidentFamilies are about how a target is, and its incidents: when it was down
// or degraded.
type incidentFamilies struct {
	state, lastEvidence *prometheus.Desc
	start, end, info    *prometheus.Desc
	official            *prometheus.Desc
	incidents, downtime *prometheus.Desc
}

// nameState is the family whose name stands for all that one collector makes.
const nameState = "acme_target_state"

func declareIncidents(d *declarer) incidentFamilies {
	return incidentFamilies{
		state: d.scraped(ofTarget, "gauge", nameState,
			"How the target is: 1 for one of up, degraded, down and unknown, 0 for the others. down: a critical module is; degraded: only others are; unknown: nobody has seen anything lately, which is no evidence of up and none of down.",
			"state"),
		lastEvidence: d.scraped(ofTarget, "gauge", "acme_target_last_evidence_timestamp_seconds",
			"When the last run ended that was a success, or whose failure was the CA's (ca) or that of the way to it (unreachable). Absent until there has been one."),
		start: d.scraped(ofTarget, "gauge", "acme_incident_start_timestamp_seconds",
			"When the first failed run of the target's latest incident started: of the one that goes on, or else of the last one. Absent if none is known."),
		end: d.scraped(ofTarget, "gauge", "acme_incident_end_timestamp_seconds",
			"When the first of the successes that ended the latest incident started. Absent while it goes on."),
		info: d.scraped(ofTarget, "gauge", "acme_incident_info",
			"Always 1: what the latest incident was at its worst (down or degraded), where it failed, why, and whose fault it is.",
			"kind", "stage", "reason", "fault"),
		official: d.scraped(ofTarget, "gauge", "acme_incident_official_start_timestamp_seconds",
			"When the CA's own status page has told of the latest incident, as far as a module with the prober status_page has read: less acme_incident_start_timestamp_seconds it is how much earlier we knew, negative where the CA was first. Absent while it has told nothing."),
		incidents: d.scraped(ofTarget, "counter", "acme_incidents_total",
			"Incidents of the target since it was configured: down are those in which it was down, degraded those that began as degraded, so that one which became worse is in both. Survives restarts.",
			"kind"),
		downtime: d.scraped(ofTarget, "counter", "acme_downtime_seconds_total",
			"Time that the target was down or degraded since it was configured. That of an incident that goes on counts to its last failed run, the rest when it ends. Survives restarts.",
			"kind"),
	}
}

// exporterFamilies are about this process.
type exporterFamilies struct {
	reloadOK *prometheus.GaugeVec
	reloadAt *prometheus.GaugeVec
}

func declareExporter(d *declarer) exporterFamilies {
	d.add(family{
		name: "acme_exporter_build_info", kind: "gauge", scope: ofExporter,
		labels: []string{"version", "revision", "branch", "goversion", "goos", "goarch", "tags"},
		help:   "Always 1: what was built, from which source and with which Go.",
	}, version.NewCollector("acme_exporter"))
	return exporterFamilies{
		reloadOK: d.gauge(ofExporter, "acme_exporter_config_last_reload_successful",
			"Whether the last load of the configuration succeeded: 1 or 0."),
		reloadAt: d.gauge(ofExporter, "acme_exporter_config_last_reload_success_timestamp_seconds",
			"When the configuration was last loaded with success."),
	}
}
