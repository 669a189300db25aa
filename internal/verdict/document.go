package verdict

import (
	"fmt"
	"strings"

	"github.com/acme-exporter/acme_exporter/internal/probe"
)

const preface = `<!-- Generated from internal/verdict. Do not edit: go test ./internal/verdict -update -->
# Verdicts

Every run ends with a verdict: an outcome, and if that is not success the stage (the step that failed), the reason and
whose fault it is. Reasons are a closed list. They are the values of the label ` + "`reason`" + `, and none is ever renamed.

| outcome | what it means |
|---|---|
| ` + "`success`" + ` | every step passed |
| ` + "`failure`" + ` | a step failed; the fault says whose it is |
| ` + "`skipped`" + ` | the run ended without evidence about the CA; it has no fault |

| fault | whose it is |
|---|---|
| ` + "`ca`" + ` | the CA's: it was reached, and answered wrongly or not at all |
| ` + "`unreachable`" + ` | the CA cannot be reached, and our own line works |
| ` + "`local`" + ` | the exporter's host, network, disk or port, or the name servers elsewhere that have its records |
| ` + "`client`" + ` | our configuration's, account's or zone's |
| ` + "`unknown`" + ` | the evidence does not tell |

The questions are asked in this order, and the first answer stands: Is it our configuration, port or disk, or a zone of
ours that is elsewhere? Did the call reach the CA? Is it a limit? Did the edge answer for the CA (not 2xx, and no
problem document)? Is it a server error, in the answer or embedded in an order, authorization or challenge? Is the
protocol broken, the certificate wrong? Did the validation fail? Is it the client's?
`

// Document returns docs/verdicts.md.
func Document() string {
	var s strings.Builder
	s.WriteString(preface)
	for _, c := range chapters {
		fmt.Fprintf(&s, "\n## %s\n", c.title)
		if c.text != "" {
			fmt.Fprintf(&s, "\n%s\n", c.text)
		}
		s.WriteString("\n| reason | fault | what was seen | whose it is | what to do |\n|---|---|---|---|---|\n")
		for _, d := range c.reasons {
			fmt.Fprintf(&s, "| `%s` | %s | %s | %s | %s |\n", d.Reason, faults(d), d.Seen, d.Whose, d.Do)
		}
	}
	return s.String()
}

func faults(d ReasonDoc) string {
	if d.Outcome == probe.OutcomeSkipped {
		return "skipped"
	}
	var list []string
	for _, f := range d.Faults {
		list = append(list, "`"+string(f)+"`")
	}
	return strings.Join(list, ", ")
}
