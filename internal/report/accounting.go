package report

// accounting says how the numbers of the report were made.
func accounting(r *Report) []Note {
	availability := "The share of the known time in which the target was not down. The state is looked at every 30 s, so each beginning and end is right to 30 s. " +
		"At each look, a location reports if one of its exporters said within the last 60 s that the target is up, degraded or down; " +
		"of several exporters at a location more than half must say down. The target is down while more than half of the locations that report say so; a tie is not down. " +
		"Degraded time counts as available. Time in which no location reports is not known: it is neither up nor down, and in no share. "
	if r.Sources.Rules {
		availability += "The votes are those of the recording rules, and where these were not evaluated, of the exporters' own series."
	} else {
		availability += "There were no recording rules: the votes are counted from the exporters' own series."
	}
	quantiles := "Of all steps and calls that were measured in the period, at all locations together and at each. They are estimates from histograms: the true value is in the same bucket. "
	switch r.Sources.Histograms {
	case "native":
		quantiles += "The histograms are native: a bucket is at most 10 % wide."
	case "classic":
		quantiles += "The histograms are classic: their bounds are in docs/metrics.md, and a value is right to its bucket only. Both ends are in the JSON."
	case "both":
		quantiles += "Some histograms are native, whose buckets are at most 10 % wide, and some classic, whose bounds are in docs/metrics.md. Both ends are in the JSON."
	}
	quantiles += " A change is certain only if the buckets before and now do not overlap."
	return []Note{
		{"Availability", availability},
		{"Reachability", "The share of all runs of all modules at all locations that succeeded, whoever's fault the others were. Skipped runs are no evidence and not counted."},
		{"Runs and certificates", "By how much the exporters' counters grew from the first to the last sample of each life of an exporter. Runs between the last sample and a restart are missing, " +
			"and those of modules that were removed before the period's end. What an exporter did while nobody scraped it is counted. A certificate is a download that succeeded. " +
			"The runs of an hour are estimated by increase(), and can differ by one."},
		{"Quantiles", quantiles},
		{"Latency", "Each point is the median of the durations of 100 to 120 runs, failed ones among them, with their tenth and ninetieth percentile; before a gap and at the end it may be of as few as 10. " +
			"Nothing is drawn in a window that has a part in an outage or in which nobody reported, and nothing is interpolated."},
		{"Incidents", incidentsNote(r)},
		{"Changes and budget", "A change of the directory is when an exporter saw it first; what others saw within a day is taken for the same, if no other fields are known to have changed. " +
			"In what it changed, the terms of service for one, the exporters tell that were asked; metrics tell when and how many. Of a budget, it is what the location's own account of the CA's limit had left at the end, and the least there was."},
	}
}

func incidentsNote(r *Report) string {
	text := "What locations had while the majority was not well is one incident, from the earliest start to the latest end; so is what a minority had at the same time. " +
		"What a location had for much longer than the others is an incident of its own. Each can have begun earlier by the uncertainty: the time since the last success. "
	switch r.Sources.Incidents {
	case FromExporters:
		return text + "All are from the exporters themselves."
	case FromBoth:
		return text + "They are from the exporters that answered, and of all others, also where there are several at a location, and what these have forgotten, from metrics, in which one that is shorter than two scrapes can be missing; those have no uncertainty."
	}
	return text + "They are from metrics, in which one that is shorter than two scrapes can be missing, and which tell no uncertainty."
}
