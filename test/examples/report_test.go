package examples_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	kubernetes "sigs.k8s.io/yaml"

	"github.com/acme-exporter/acme_exporter/test/parts"
)

// TestReportTimer holds that the weekly report's service has arguments that the program
// takes, and its timer the service.
func TestReportTimer(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "/examples/systemd/acme_exporter-report.service")
	must(t, err)
	unit := strings.ReplaceAll(string(text), "\\\n", " ")
	found := regexp.MustCompile(`(?m)^ExecStart=\S+(.*)$`).FindStringSubmatch(unit)
	if found == nil {
		t.Fatal("no ExecStart")
	}
	reportTakes(t, strings.Fields(found[1]))
	for _, line := range []string{"DynamicUser=yes", "StateDirectory=acme_exporter-report", "Restart=on-failure", "RestartPreventExitStatus=" + strings.Join(finalCodes(t), " "), "RestartSec=30min", "StartLimitBurst=12"} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	// A timer without Unit= starts the service of its own name.
	timer, err := os.ReadFile(root + "/examples/systemd/acme_exporter-report.timer")
	must(t, err)
	if !bytes.Contains(timer, []byte("\nPersistent=yes\n")) || bytes.Contains(timer, []byte("\nUnit=")) {
		t.Errorf("the timer:\n%s", timer)
	}
}

// TestReportCronJob holds that Kubernetes knows every field, and that what was sent is
// remembered on a volume.
func TestReportCronJob(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "/examples/kubernetes/report-cronjob.yml")
	must(t, err)
	var job batchv1.CronJob
	var claim corev1.PersistentVolumeClaim
	documents := yaml.NewDecoder(bytes.NewReader(text))
	for _, into := range []any{&job, &claim} {
		var one any
		must(t, documents.Decode(&one))
		text, err := yaml.Marshal(one)
		must(t, err)
		must(t, kubernetes.UnmarshalStrict(text, into))
	}
	if err := documents.Decode(new(any)); !errors.Is(err, io.EOF) {
		t.Errorf("more than a job and a claim: %v", err)
	}
	if job.Kind != "CronJob" || job.APIVersion != "batch/v1" || claim.Kind != "PersistentVolumeClaim" || claim.APIVersion != "v1" {
		t.Errorf("%s %s, %s %s", job.APIVersion, job.Kind, claim.APIVersion, claim.Kind)
	}
	if job.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent || job.Spec.TimeZone == nil {
		t.Errorf("concurrency %q, time zone %v", job.Spec.ConcurrencyPolicy, job.Spec.TimeZone)
	}
	pod := job.Spec.JobTemplate.Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	container := pod.Containers[0]
	startedAgain(t, job.Spec.JobTemplate.Spec, container.Name)
	reportTakes(t, container.Args)
	mounted := map[string]string{}
	for _, m := range container.VolumeMounts {
		mounted[m.Name] = m.MountPath
	}
	for _, v := range pod.Volumes {
		switch {
		case v.PersistentVolumeClaim != nil:
			if v.PersistentVolumeClaim.ClaimName != claim.Name || !strings.Contains(strings.Join(container.Args, " "), "--state.dir="+mounted[v.Name]) {
				t.Errorf("the state directory is not on the claim: %v, %v", v, container.Args)
			}
		case v.Secret != nil:
			if !strings.Contains(strings.Join(container.Args, " "), "--email.config="+mounted[v.Name]+"/") {
				t.Errorf("the secret is not where the arguments have it: %v", container.Args)
			}
		default:
			t.Errorf("a volume %s", v.Name)
		}
	}
	if s := container.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || pod.SecurityContext == nil || pod.SecurityContext.RunAsNonRoot == nil || !*pod.SecurityContext.RunAsNonRoot {
		t.Error("the container may write, or be root")
	}
}

// startedAgain holds that Kubernetes starts a job again exactly after those exit codes after which
// that makes sense.
func startedAgain(t *testing.T, job batchv1.JobSpec, container string) {
	t.Helper()
	// The API takes a podFailurePolicy with no other one: with OnFailure the kubelet would start the
	// container again, whatever its exit code is.
	if job.Template.Spec.RestartPolicy != corev1.RestartPolicyNever || job.PodFailurePolicy == nil || job.BackoffLimit == nil || *job.BackoffLimit < 1 {
		t.Fatalf("restartPolicy %s, podFailurePolicy %v, backoffLimit %v", job.Template.Spec.RestartPolicy, job.PodFailurePolicy, job.BackoffLimit)
	}
	var final []string
	for i, rule := range job.PodFailurePolicy.Rules {
		on := rule.OnExitCodes
		switch {
		case rule.Action != batchv1.PodFailurePolicyActionFailJob:
			if rule.Action != batchv1.PodFailurePolicyActionIgnore || len(rule.OnPodConditions) != 1 || rule.OnPodConditions[0].Type != corev1.DisruptionTarget || rule.OnPodConditions[0].Status != corev1.ConditionTrue {
				t.Errorf("rule %+v", rule)
			}
		case i > 0 || on == nil || on.Operator != batchv1.PodFailurePolicyOnExitCodesOpIn || on.ContainerName == nil || *on.ContainerName != container:
			t.Errorf("rule %d %+v, want it first and of the container %s", i, rule, container)
		default:
			for _, code := range on.Values {
				final = append(final, fmt.Sprint(code))
			}
		}
	}
	if want := finalCodes(t); !slices.Equal(final, want) {
		t.Errorf("the job fails at once after the exit codes %q, want %q", final, want)
	}
}

// finalCodes are the exit codes of a failure after which, as the documentation has it, the report is
// not to be tried again.
func finalCodes(t *testing.T) (codes []string) {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/report.md")
	must(t, err)
	again := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| (yes|no) \| `).FindAllStringSubmatch(string(text), -1) {
		again[row[1]] = row[2]
		if row[1] != "0" && row[2] == "no" {
			codes = append(codes, row[1])
		}
	}
	if len(again) != 4 || again["0"] != "no" || again["1"] != "yes" {
		t.Fatalf("docs/report.md has the exit codes %v", again)
	}
	return codes
}

// reportTakes has the program read the arguments, with a file of ours and a Prometheus
// that is not there: that it then asks for samples says that it took them.
func reportTakes(t *testing.T, args []string) {
	t.Helper()
	dir := t.TempDir()
	example, err := os.ReadFile(root + "/examples/report/email.yml")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "email.yml"), example, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "smtp-password"), []byte("secret\n"), 0o600))
	args, replaced := slices.Clone(args), 0
	for i, arg := range args {
		for flag, value := range map[string]string{"--email.config=": filepath.Join(dir, "email.yml"), "--prometheus.url=": "http://127.0.0.1:1"} {
			if strings.HasPrefix(arg, flag) {
				args[i] = flag + value
				replaced++
			}
		}
	}
	out, err := exec.CommandContext(t.Context(), parts.PlainBinary(t), args...).CombinedOutput()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if replaced != 2 || !ok || exit.ExitCode() != 1 || !bytes.Contains(out, []byte("connection refused")) {
		t.Errorf("%q: %v: %s", args, err, out)
	}
}
