// What a CA gives out and publishes: certificates, revocation lists, OCSP, renewal
// windows, its directory. They are rows of the dashboard CA.
import { Row } from './board';
import { atLeast, badIfYes, bars, goodIfYes, graph, steps, table, timeline } from './panels';
import { countSoFar, ofPair, ofTarget, pairAt, quantileSoFar, revocation, until, window } from './promql';

const interval = '5m';

/** An hour is usual, and six raise an alert. */
const late = steps([2 * 3600, 'orange'], [6 * 3600, 'red']);

export const published: Row[] = [
  {
    title: 'Certificates',
    panels: [
      table(
        {
          title: 'The last certificate of each module',
          description: 'What was issued last: when it ends, how long it is valid, how many SCTs it has, and how many checks it failed.',
          unit: 'short',
          width: 24,
        },
        { title: 'Target', label: 'target' },
        { title: 'Module', label: 'module' },
        { title: 'Location', label: 'location' },
        {
          title: 'Ends in',
          expr: until(ofPair('acme_certificate_not_after_timestamp_seconds'), pairAt),
          unit: 's',
          thresholds: atLeast([0, 'green']),
        },
        {
          title: 'Valid for',
          expr: `max by (${pairAt}) (${ofPair('acme_certificate_not_after_timestamp_seconds')} - ${ofPair('acme_certificate_not_before_timestamp_seconds')})`,
          unit: 's',
        },
        { title: 'SCTs', expr: `min by (${pairAt}) (${ofPair('acme_certificate_scts')})` },
        {
          title: 'Warnings',
          expr: `max by (${pairAt}) (${ofPair('acme_certificate_lint_warnings')})`,
          thresholds: steps([1, 'orange']),
        },
        {
          title: 'Failed checks',
          expr: `sum by (${pairAt}) (max by (${pairAt}, check) (1 - ${ofPair('acme_certificate_check_passed')}))`,
          thresholds: steps([1, 'red']),
        },
      ),
      timeline(
        {
          title: 'Checks',
          description: 'Whether the last certificate passed each check, at all chosen locations.',
          unit: 'short',
          mappings: goodIfYes,
          thresholds: atLeast([1, 'green']),
          width: 10,
          height: 10,
        },
        {
          expr: `min by (target, check) (${ofPair('acme_certificate_check_passed')})`,
          legend: '{{target}} {{check}}',
        },
      ),
      bars(
        {
          title: 'Certificates that failed a check',
          description: 'By check. Each of them is kept as evidence with its run.',
          unit: 'short',
          thresholds: steps([1, 'red']),
          min: 0,
          width: 7,
          height: 10,
          interval,
        },
        {
          expr: `sum by (target, check) (increase(${ofPair('acme_certificate_check_failures_total')}${window}))`,
          legend: '{{target}} {{check}}',
        },
      ),
      bars(
        {
          title: 'Misissued',
          description: 'Certificates, and authorizations without one, that the CA gave though it had to refuse, and that is proved. Only modules that expect a refusal.',
          unit: 'short',
          thresholds: steps([1, 'red']),
          min: 0,
          width: 7,
          height: 10,
          interval,
        },
        {
          expr: `sum by (target, module, kind) (increase(${ofPair('acme_misissued_total')}${window}))`,
          legend: '{{target}} {{module}} {{kind}}',
        },
      ),
    ],
  },
  {
    title: 'Revocation',
    panels: [
      table(
        {
          title: 'Revocation lists',
          description: 'The list that each module read last; of several lists the oldest. A list that is past its end is refused by clients that insist on one.',
          unit: 'short',
          width: 24,
        },
        { title: 'Target', label: 'target' },
        { title: 'Module', label: 'module' },
        { title: 'Location', label: 'location' },
        {
          title: 'Age',
          expr: `time() - min by (${pairAt}) (${ofPair('acme_crl_this_update_timestamp_seconds')})`,
          unit: 's',
        },
        {
          title: 'Ends in',
          expr: until(ofPair('acme_crl_next_update_timestamp_seconds'), pairAt),
          unit: 's',
          thresholds: atLeast([0, 'orange'], [3600, 'green']),
        },
        { title: 'Number', expr: `min by (${pairAt}) (${ofPair('acme_crl_number')})`, unit: 'none' },
        { title: 'Entries', expr: `max by (${pairAt}) (${ofPair('acme_crl_entries')})` },
        { title: 'Size', expr: `max by (${pairAt}) (${ofPair('acme_crl_size_bytes')})`, unit: 'bytes' },
      ),
      table(
        {
          title: 'From a revocation until it shows',
          description:
            'How long it took until all lists (crl) or responders (ocsp) said that a certificate of ours was revoked, since each exporter started. Only modules that have certificates revoked.',
          unit: 'short',
          width: 12,
        },
        { title: 'Target', label: 'target' },
        { title: 'Module', label: 'module' },
        { title: 'Location', label: 'location' },
        { title: 'Via', label: 'via' },
        { title: 'Revocations', expr: countSoFar(revocation, `${pairAt}, via`), decimals: 0 },
        { title: 'Median', expr: quantileSoFar(0.5, revocation, `${pairAt}, via`), unit: 's', thresholds: late },
        { title: 'p95', expr: quantileSoFar(0.95, revocation, `${pairAt}, via`), unit: 's', thresholds: late },
      ),
      graph(
        {
          title: 'Revocations that do not show yet',
          description: 'How long ago the oldest of them was made. After 24 h it is given up, as a failure.',
          unit: 's',
          thresholds: late,
          min: 0,
          width: 12,
        },
        {
          expr: `time() - min by (target, module, via) (${ofPair('acme_revocation_oldest_pending_timestamp_seconds')})`,
          legend: '{{target}} {{module}} {{via}}',
        },
      ),
      graph(
        {
          title: 'Entries of revocation lists',
          description: 'Certificates on the lists. A jump is a mass revocation.',
          unit: 'short',
          min: 0,
          width: 12,
        },
        { expr: `max by (target, module) (${ofPair('acme_crl_entries')})`, legend: '{{target}} {{module}}' },
      ),
      table(
        {
          title: 'OCSP answers',
          description: 'The answer that each module read last.',
          unit: 'short',
          width: 12,
        },
        { title: 'Target', label: 'target' },
        { title: 'Module', label: 'module' },
        { title: 'Location', label: 'location' },
        {
          title: 'Age',
          expr: `time() - min by (${pairAt}) (${ofPair('acme_ocsp_this_update_timestamp_seconds')})`,
          unit: 's',
        },
        {
          title: 'Ends in',
          expr: until(ofPair('acme_ocsp_next_update_timestamp_seconds'), pairAt),
          unit: 's',
          thresholds: atLeast([0, 'orange'], [3600, 'green']),
        },
        {
          title: 'Revoked',
          expr: `max by (${pairAt}) (${ofPair('acme_ocsp_certificate_revoked')})`,
          mappings: badIfYes,
        },
      ),
    ],
  },
  {
    title: 'Renewal and the directory',
    panels: [
      table(
        {
          title: 'Renewal windows (RFC 9773)',
          description: 'When the CA wants certificates to be renewed. A window that moves into the past long before the certificate ends announces its revocation.',
          unit: 'short',
          width: 12,
        },
        { title: 'Target', label: 'target' },
        { title: 'Module', label: 'module' },
        { title: 'Location', label: 'location' },
        {
          title: 'Due',
          expr: `max by (${pairAt}) (${ofPair('acme_renewal_due')})`,
          thresholds: steps([1, 'orange']),
        },
        {
          title: 'Starts in',
          expr: until(ofPair('acme_renewal_window_start_timestamp_seconds'), pairAt),
          unit: 's',
        },
        {
          title: 'Over in',
          expr: until(ofPair('acme_renewal_window_end_timestamp_seconds'), pairAt),
          unit: 's',
          thresholds: atLeast([0, 'green']),
        },
      ),
      bars(
        {
          title: 'Changes of the directory',
          description:
            'Times that the directory differed from the one before: endpoints, terms of service, profiles, CAA identities, need of an external account. The run has in what.',
          unit: 'short',
          thresholds: steps([1, 'orange']),
          min: 0,
          width: 12,
          interval,
        },
        {
          expr: `sum by (target, location) (increase(${ofTarget('acme_directory_changes_total')}${window}))`,
          legend: '{{target}} {{location}}',
        },
      ),
    ],
  },
];
