// What all dashboards have: variables, links, annotations and the way panels are
// laid out.
import * as cog from '@grafana/grafana-foundation-sdk/cog';
import * as sdk from '@grafana/grafana-foundation-sdk/dashboard';
import { datasource } from './panels';
import { exporter, ofTarget, place } from './promql';

/** The tag by which the dashboards find each other. */
const tag = 'acme_exporter';

/**
 * Of the classic schema, which Grafana 9.4 takes as it is and newer ones migrate. The
 * SDK writes a newer number, with which nothing would be migrated.
 */
const schemaVersion = 39;

const documentation = 'https://github.com/acme-exporter/acme_exporter/blob/main/docs/';

export interface Row {
  title: string;
  panels: cog.Builder<sdk.Panel>[];
}

export interface Board {
  uid: string;
  title: string;
  description: string;
  /** How far back it looks when it is opened, as in Grafana's time picker. */
  from: string;
  /** Variables beside those that all have. */
  variables?: cog.Builder<sdk.VariableModel>[];
  rows: Row[];
}

/**
 * A variable whose values are those of a label. `all` is what it matches when
 * nothing is chosen: .* for a label that may be missing.
 */
export function labelValues(name: string, label: string, series: string, all: string): sdk.QueryVariableBuilder {
  const query = `label_values(${series}, ${name})`;
  return new sdk.QueryVariableBuilder(name)
    .label(label)
    .datasource(datasource)
    .query({ query, refId: 'PrometheusVariableQueryEditor-VariableQuery' })
    .definition(query)
    .multi(true)
    .includeAll(true)
    .allValue(all)
    .current({ selected: true, text: ['All'], value: ['$__all'] })
    .refresh(sdk.VariableRefresh.OnTimeRangeChanged)
    .sort(sdk.VariableSort.AlphabeticalAsc);
}

const variables = [
  new sdk.DatasourceVariableBuilder('datasource').label('Data source').type('prometheus').multi(false),
  labelValues('job', 'Job', 'acme_exporter_build_info', '.+'),
  labelValues('location', 'Location', 'acme_exporter_build_info{job=~"$job"}', '.*'),
  labelValues('target', 'Target', 'acme_target_state{job=~"$job",location=~"$location"}', '.+'),
  labelValues('module', 'Module', 'acme_probe_info{job=~"$job",location=~"$location",target=~"$target"}', '.+'),
];

/** How browsers speak to the exporters' own pages: Prometheus does not know it. */
export const scheme = new sdk.CustomVariableBuilder('scheme')
  .label("Exporter's pages")
  .description("Whether the exporters' own pages are at http or https, for the links to them.")
  .values('http,https')
  .current({ selected: true, text: 'http', value: 'http' })
  .options([
    { selected: true, text: 'http', value: 'http' },
    { selected: false, text: 'https', value: 'https' },
  ]);

/** The page of the exporter that a row of a table is about. */
export const exporterPage = { title: "The exporter's page", url: '${scheme}://${__data.fields.instance}/' };

/** Another dashboard, about what labels of a table's row say. */
export function about(uid: string, title: string, ...labels: string[]): { title: string; url: string } {
  const of = labels.map((label) => `var-${label}=\${__data.fields.${label}}`);
  return { title, url: `/d/${uid}?${['${datasource:queryparam}', '${job:queryparam}', ...of, '${__url_time_range}'].join('&')}` };
}

/** A series of the latest incident, with its kind, stage, reason and fault. */
export function told(expr: string): string {
  const of = `${exporter}, environment, target`;
  const why = 'kind, stage, reason, fault';
  return `${expr} * on (${of}) group_left (${why}) max by (${of}, ${why}) (${ofTarget('acme_incident_info')})`;
}

const annotations = [
  new sdk.AnnotationQueryBuilder()
    .name('Down')
    .datasource(datasource)
    .enable(true)
    .iconColor('red')
    .expr(`max by (${place}) (${ofTarget('acme_target_state', 'state="down"')}) == 1`)
    .step('60s')
    .titleFormat('{{target}} is down')
    .textFormat('as seen from {{location}}')
    .tagKeys('environment'),
  // The value of the series is the time, in milliseconds.
  new sdk.AnnotationQueryBuilder()
    .name('Incidents')
    .datasource(datasource)
    .enable(true)
    .iconColor('orange')
    .expr(told(`1000 * ${ofTarget('acme_incident_start_timestamp_seconds')}`))
    .step('60s')
    .useValueForTime(true)
    .titleFormat('{{target}}: {{kind}}')
    .textFormat('{{location}}: {{stage}}, {{reason}}, fault {{fault}}')
    .tagKeys('environment'),
];

function links(): cog.Builder<sdk.DashboardLink>[] {
  return [
    new sdk.DashboardLinkBuilder('acme_exporter')
      .type(sdk.DashboardLinkType.Dashboards)
      .tags([tag])
      .asDropdown(false)
      .includeVars(true)
      .keepTime(true),
    new sdk.DashboardLinkBuilder('Documentation')
      .type(sdk.DashboardLinkType.Link)
      .icon('doc')
      .url(documentation + 'dashboards.md')
      .targetBlank(true),
  ];
}

/** Lays the panels out from left to right, and numbers them. */
function layOut(rows: Row[]): (sdk.Panel | sdk.RowPanel)[] {
  const panels: (sdk.Panel | sdk.RowPanel)[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({
      ...new sdk.RowBuilder(row.title).build(),
      id: panels.length + 1,
      gridPos: { x: 0, y, w: 24, h: 1 },
    });
    y++;
    let x = 0;
    let height = 0;
    for (const builder of row.panels) {
      const panel = builder.build();
      const { w, h } = panel.gridPos!;
      if (x + w > 24) {
        y += height;
        x = height = 0;
      }
      panels.push({ ...panel, id: panels.length + 1, gridPos: { x, y, w, h } });
      x += w;
      height = Math.max(height, h);
    }
    y += height;
  }
  return panels;
}

/** The dashboard, as Grafana imports it. */
export function build(board: Board): sdk.Dashboard {
  const dashboard = new sdk.DashboardBuilder(board.title)
    .uid(board.uid)
    .description(board.description)
    .tags([tag])
    .editable()
    .tooltip(sdk.DashboardCursorSync.Crosshair)
    .time({ from: board.from, to: 'now' })
    .refresh('1m')
    .variables([...variables, ...(board.variables ?? [])])
    .annotations(annotations)
    .links(links())
    .build();
  // The SDK hides links and annotations in a menu unless somebody says otherwise,
  // which its builders have no word for.
  for (const shown of [...(dashboard.links ?? []), ...(dashboard.annotations.list ?? [])]) {
    delete shown.placement;
  }
  return { ...dashboard, id: null, schemaVersion, panels: layOut(board.rows) };
}
