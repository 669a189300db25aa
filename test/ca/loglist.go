package main

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// The list of logs as Chrome has it, schema version 3.
type (
	logList struct {
		Version   string        `json:"version"`
		Timestamp time.Time     `json:"log_list_timestamp"`
		Operators []logOperator `json:"operators"`
	}
	logOperator struct {
		Name  string     `json:"name"`
		Email []string   `json:"email"`
		Logs  []logEntry `json:"logs"`
		Tiled []logEntry `json:"tiled_logs"`
	}
	// logEntry has URL, or if it is tiled the other two.
	logEntry struct {
		Description   string              `json:"description"`
		ID            []byte              `json:"log_id"`
		Key           []byte              `json:"key"`
		URL           string              `json:"url,omitempty"`
		SubmissionURL string              `json:"submission_url,omitempty"`
		MonitoringURL string              `json:"monitoring_url,omitempty"`
		MMD           int                 `json:"mmd"` // seconds
		State         map[string]logState `json:"state"`
		Interval      logInterval         `json:"temporal_interval"`
	}
	logState struct {
		Timestamp time.Time `json:"timestamp"`
	}
	logInterval struct {
		Start time.Time `json:"start_inclusive"`
		End   time.Time `json:"end_exclusive"`
	}
)

// newLogList returns the list of logs, in JSON, as it was published at published.
func newLogList(logs []*ctLog, published time.Time) ([]byte, error) {
	published = published.UTC().Truncate(time.Second)
	list := logList{Version: "1.0", Timestamp: published}
	for _, l := range logs {
		i := slices.IndexFunc(list.Operators, func(o logOperator) bool { return o.Name == l.operator })
		if i < 0 {
			i = len(list.Operators)
			list.Operators = append(list.Operators, logOperator{
				Name: l.operator, Email: []string{"ct@" + host(l.operator)}, Logs: []logEntry{}, Tiled: []logEntry{},
			})
		}
		operator, url := &list.Operators[i], "https://"+host(l.name)+"/"
		entry := logEntry{
			Description: l.name,
			ID:          l.id[:],
			Key:         l.public,
			MMD:         24 * 60 * 60,
			State:       map[string]logState{"usable": {published.AddDate(-1, 0, 0)}},
			Interval:    logInterval{published.AddDate(-1, 0, 0), published.AddDate(2, 0, 0)},
		}
		if l.tiled {
			entry.SubmissionURL, entry.MonitoringURL, entry.MMD = url, strings.Replace(url, "//", "//tiles.", 1), 60
			operator.Tiled = append(operator.Tiled, entry)
		} else {
			entry.URL = url
			operator.Logs = append(operator.Logs, entry)
		}
	}
	return json.MarshalIndent(list, "", "  ")
}

// host is where nobody answers for name.
func host(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), " ", "-") + ".invalid"
}
