// Panels, as this project draws them: each has a title, a description, a unit and
// thresholds, and none is of a kind that Grafana 9.4 does not know.
import * as barchart from '@grafana/grafana-foundation-sdk/barchart';
import * as cog from '@grafana/grafana-foundation-sdk/cog';
import * as common from '@grafana/grafana-foundation-sdk/common';
import * as sdk from '@grafana/grafana-foundation-sdk/dashboard';
import * as gauge from '@grafana/grafana-foundation-sdk/gauge';
import * as heat from '@grafana/grafana-foundation-sdk/heatmap';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as statpanel from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as tablepanel from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';

/** The data source that the variable chooses. */
export const datasource = { type: 'prometheus', uid: '${datasource}' };

export interface Query {
  expr: string;
  legend?: string;
}

/** From which value on which color; the first is from the lowest value on. */
export type Steps = [sdk.Threshold, ...sdk.Threshold[]];

export interface Look {
  title: string;
  description: string;
  unit: string;
  thresholds?: Steps;
  width: number;
  height?: number;
  /** The shortest time between two points, where shorter windows would be empty. */
  interval?: string;
  min?: number;
  max?: number;
  decimals?: number;
  mappings?: sdk.ValueMapping[];
}

/** No value is better than another. */
const plain: Steps = [{ value: null, color: 'blue' }];

/** Green, and from some values on other colors. */
export function steps(...more: [number, string][]): Steps {
  return [{ value: null, color: 'green' }, ...more.map(([value, color]) => ({ value, color }))];
}

/** Red, and better from some values on. */
export function atLeast(...more: [number, string][]): Steps {
  return [{ value: null, color: 'red' }, ...more.map(([value, color]) => ({ value, color }))];
}

/** Texts and colors of values. */
export function mapped(values: Record<string, [text: string, color: string]>): sdk.ValueMapping[] {
  const options: Record<string, sdk.ValueMappingResult> = {};
  Object.entries(values).forEach(([value, [text, color]], index) => {
    options[value] = { text, color, index };
  });
  return [{ type: sdk.MappingType.ValueToText, options }];
}

const ours = {
  0: ['unknown', 'text'],
  1: ['up', 'green'],
  2: ['degraded', 'orange'],
  3: ['down', 'red'],
} satisfies Record<number, [string, string]>;
const theirs = {
  10: ['other words', 'text'],
  11: ['operational', 'green'],
  12: ['maintenance', 'blue'],
  13: ['degraded', 'yellow'],
  14: ['partial outage', 'orange'],
  15: ['major outage', 'red'],
} satisfies Record<number, [string, string]>;
/** The numbers of promql.state. */
export const states = mapped(ours);
/** Those, and the numbers of promql.statement. */
export const statesAndStatements = mapped({ ...ours, ...theirs });
/** Their colors, for what does not know mappings. */
export const stateSteps: Steps = [
  { value: null, color: 'text' },
  { value: 1, color: 'green' },
  { value: 2, color: 'orange' },
  { value: 3, color: 'red' },
];

const yesNo = { 0: 'no', 1: 'yes' } as const;
/** 1 is good. */
export const goodIfYes = mapped({ 0: [yesNo[0], 'red'], 1: [yesNo[1], 'green'] });
/** 1 is bad. */
export const badIfYes = mapped({ 0: [yesNo[0], 'green'], 1: [yesNo[1], 'red'] });

/** What the builders of all kinds of panels have in common. */
interface Builder extends cog.Builder<sdk.Panel> {
  title(title: string): this;
  description(description: string): this;
  datasource(datasource: common.DataSourceRef): this;
  targets(targets: cog.Builder<cog.Dataquery>[]): this;
  unit(unit: string): this;
  decimals(decimals: number): this;
  min(min: number): this;
  max(max: number): this;
  mappings(mappings: sdk.ValueMapping[]): this;
  thresholds(thresholds: cog.Builder<sdk.ThresholdsConfig>): this;
  interval(interval: string): this;
  span(width: number): this;
  height(height: number): this;
}

type Kind = 'graph' | 'value' | 'table' | 'heatmap';

function queries(kind: Kind, list: Query[]): cog.Builder<cog.Dataquery>[] {
  return list.map(({ expr, legend }, i) => {
    const query = new prometheus.DataqueryBuilder()
      .refId(String.fromCharCode('A'.charCodeAt(0) + i))
      .datasource(datasource)
      .editorMode(prometheus.QueryEditorMode.Code)
      .expr(expr)
      .legendFormat(legend ?? '__auto');
    switch (kind) {
      case 'graph':
        return query.range().format(prometheus.PromQueryFormat.TimeSeries);
      case 'value':
        return query.instant().format(prometheus.PromQueryFormat.TimeSeries);
      case 'table':
        return query.instant().format(prometheus.PromQueryFormat.Table);
      case 'heatmap':
        return query.range().format(prometheus.PromQueryFormat.Heatmap);
    }
  });
}

function thresholds(list: Steps): sdk.ThresholdsConfigBuilder {
  return new sdk.ThresholdsConfigBuilder().mode(sdk.ThresholdsMode.Absolute).steps(list);
}

function looking<B extends Builder>(panel: B, look: Look, kind: Kind, list: Query[]): B {
  panel
    .title(look.title)
    .description(look.description)
    .datasource(datasource)
    .targets(queries(kind, list))
    .unit(look.unit)
    .thresholds(thresholds(look.thresholds ?? plain))
    .span(look.width)
    .height(look.height ?? 8);
  if (look.interval) panel.interval(look.interval);
  if (look.min !== undefined) panel.min(look.min);
  if (look.max !== undefined) panel.max(look.max);
  if (look.decimals !== undefined) panel.decimals(look.decimals);
  if (look.mappings) panel.mappings(look.mappings);
  return panel;
}

function legend(): common.VizLegendOptionsBuilder {
  return new common.VizLegendOptionsBuilder()
    .displayMode(common.LegendDisplayMode.List)
    .placement(common.LegendPlacement.Bottom)
    .showLegend(true)
    .calcs([]);
}

function tooltip(): common.VizTooltipOptionsBuilder {
  return new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending);
}

/** Lines over time. Thresholds are drawn where there are any. */
export function graph(look: Look, ...list: Query[]): timeseries.PanelBuilder {
  const panel = looking(new timeseries.PanelBuilder(), look, 'graph', list)
    .legend(legend())
    .tooltip(tooltip())
    .lineWidth(1)
    .fillOpacity(5)
    .showPoints(common.VisibilityMode.Auto)
    .colorScheme(new sdk.FieldColorBuilder().mode(sdk.FieldColorModeId.PaletteClassic))
    .thresholdsStyle(
      new common.GraphThresholdsStyleConfigBuilder().mode(
        look.thresholds ? common.GraphThresholdsStyleMode.Dashed : common.GraphThresholdsStyleMode.Off,
      ),
    );
  // Runs are minutes apart: a line goes on where a window has seen none.
  return look.interval ? panel.spanNulls(3600_000) : panel;
}

/** Bars over time, one upon the other. */
export function bars(look: Look, ...list: Query[]): timeseries.PanelBuilder {
  return graph(look, ...list)
    .drawStyle(common.GraphDrawStyle.Bars)
    .fillOpacity(70)
    .lineWidth(0)
    .stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal).group('A'));
}

function last(): common.ReduceDataOptionsBuilder {
  return new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields('');
}

/** One number. */
export function stat(look: Look, ...list: Query[]): statpanel.PanelBuilder {
  return looking(new statpanel.PanelBuilder(), { height: 4, ...look }, 'value', list)
    .reduceOptions(last())
    .colorMode(common.BigValueColorMode.Value)
    .graphMode(common.BigValueGraphMode.None);
}

/** Parts of a whole. */
export function dial(look: Look, ...list: Query[]): gauge.PanelBuilder {
  return looking(new gauge.PanelBuilder(), look, 'value', list).reduceOptions(last()).showThresholdMarkers(true);
}

/** Values and for how long. */
export function timeline(look: Look, ...list: Query[]): statetimeline.PanelBuilder {
  return looking(new statetimeline.PanelBuilder(), look, 'graph', list)
    .mergeValues(true)
    .showValue(common.VisibilityMode.Never)
    .rowHeight(0.85)
    .legend(legend())
    .colorScheme(new sdk.FieldColorBuilder().mode(sdk.FieldColorModeId.Thresholds));
}

/** How often which durations were seen, from buckets; the unit is theirs. */
export function heatmap(look: Look, expr: string): heat.PanelBuilder {
  return looking(new heat.PanelBuilder(), look, 'heatmap', [{ expr, legend: '{{le}}' }])
    .calculate(false)
    .yAxis(new heat.YAxisConfigBuilder().unit(look.unit).axisPlacement(common.AxisPlacement.Left))
    .cellValues(new heat.CellValuesBuilder().unit('cps'))
    .color(
      new heat.HeatmapColorOptionsBuilder()
        .mode(heat.HeatmapColorMode.Scheme)
        .scheme('Oranges')
        .exponent(0.5)
        .steps(64)
        .reverse(false),
    )
    .hideLegend();
}

/** A column of a table: a query, or a label that the queries are grouped by. */
export interface Column {
  title: string;
  /** The query; without one it is the label of this name. */
  expr?: string;
  label?: string;
  unit?: string;
  decimals?: number;
  thresholds?: Steps;
  mappings?: sdk.ValueMapping[];
  link?: { title: string; url: string };
}

/** A table of instant queries, joined by the labels that they have in common. */
export function table(look: Look, ...columns: Column[]): tablepanel.PanelBuilder {
  const values = columns.filter((c) => c.expr);
  const ref = (c: Column) =>
    values.length === 1 ? 'Value' : `Value #${String.fromCharCode('A'.charCodeAt(0) + values.indexOf(c))}`;
  const field = (c: Column) => (c.expr ? ref(c) : c.label!);
  const panel = looking(
    new tablepanel.PanelBuilder(),
    look,
    'table',
    values.map((c) => ({ expr: c.expr! })),
  )
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({
      id: 'organize',
      options: {
        excludeByName: { Time: true, __name__: true },
        indexByName: Object.fromEntries(columns.map((c, i) => [field(c), i])),
        renameByName: Object.fromEntries(columns.map((c) => [field(c), c.title])),
      },
    });
  for (const c of columns) {
    const properties: sdk.DynamicConfigValue[] = [];
    if (c.unit) properties.push({ id: 'unit', value: c.unit });
    if (c.decimals !== undefined) properties.push({ id: 'decimals', value: c.decimals });
    if (c.mappings) properties.push({ id: 'mappings', value: c.mappings });
    if (c.thresholds) properties.push({ id: 'thresholds', value: { mode: 'absolute', steps: c.thresholds } });
    if (c.mappings || c.thresholds) properties.push({ id: 'custom.cellOptions', value: { type: 'color-text' } });
    if (c.link) properties.push({ id: 'links', value: [{ ...c.link, targetBlank: false }] });
    if (properties.length > 0) panel.overrideByName(c.title, properties);
  }
  return panel;
}

/** Bars side by side, one for each row of a query's table. */
export function ranking(look: Look, label: string, expr: string): barchart.PanelBuilder {
  return looking(new barchart.PanelBuilder(), look, 'table', [{ expr }])
    .xField(label)
    .orientation(common.VizOrientation.Horizontal)
    .legend(legend().showLegend(false))
    .tooltip(tooltip())
    .withTransformation({ id: 'organize', options: { excludeByName: { Time: true }, indexByName: {}, renameByName: {} } });
}
