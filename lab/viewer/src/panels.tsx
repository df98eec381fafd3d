// SPDX-License-Identifier: Apache-2.0

// The panel types that headroom's dashboards use. Grafana's own panels are part of its
// server; they are thin wrappers of the components used here.
import { cacheFieldDisplayNames, getDisplayValueAlignmentFactors, getFieldDisplayValues, PanelPlugin } from '@grafana/data';
import { sceneUtils } from '@grafana/scenes';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

import { custom, theme } from './grafana';

function TimeSeriesPanel(p: any) {
  if (!p.data.series.length) {
    return <div>No data</div>;
  }
  const legend = { calcs: [], displayMode: 'list', placement: 'bottom', showLegend: true, ...p.options.legend };
  return (
    <TimeSeries frames={p.data.series} structureRev={p.data.structureRev} timeRange={p.timeRange} timeZone={p.timeZone}
      width={p.width} height={p.height} legend={legend} options={p.options} replaceVariables={p.replaceVariables} />
  );
}

// values returns the numbers for panels that reduce each series to one number.
function values(p: any, sparkline: boolean) {
  return getFieldDisplayValues({
    fieldConfig: p.fieldConfig, data: p.data.series, replaceVariables: p.replaceVariables, theme, timeZone: p.timeZone, sparkline,
    reduceOptions: { calcs: ['lastNotNull'], values: false, ...p.options.reduceOptions },
  } as any);
}

function repeat(p: any, sparkline: boolean, orientation: string, render: (v: any) => any) {
  return (
    <VizRepeater getValues={() => values(p, sparkline)} getAlignmentFactors={getDisplayValueAlignmentFactors as any} renderValue={render}
      width={p.width} height={p.height} source={p.data} renderCounter={p.renderCounter} orientation={(p.options.orientation ?? orientation) as any}
      minVizHeight={p.options.sizing === 'manual' ? p.options.minVizHeight : undefined}
      maxVizHeight={p.options.sizing === 'manual' ? p.options.maxVizHeight : undefined} autoGrid itemSpacing={3} />
  );
}

function StatPanel(p: any) {
  const graph = p.options.graphMode ?? 'area';
  return repeat(p, graph !== 'none', 'auto', ({ value, width, height, count, alignmentFactors }) => (
    <BigValue value={value.display} count={count} sparkline={value.sparkline} colorMode={p.options.colorMode ?? 'value'} graphMode={graph}
      justifyMode={p.options.justifyMode ?? 'auto'} textMode={p.options.textMode ?? 'auto'} alignmentFactors={alignmentFactors}
      width={width} height={height} theme={theme as any} />
  ));
}

function BarGaugePanel(p: any) {
  return repeat(p, false, 'horizontal', ({ value, width, height, alignmentFactors, orientation }) => (
    <BarGauge value={value.display} width={width} height={height} orientation={orientation} field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex)} theme={theme as any} itemSpacing={8} lcdCellWidth={12} showUnfilled={p.options.showUnfilled}
      displayMode={p.options.displayMode ?? 'gradient'} valueDisplayMode={p.options.valueMode} text={p.options.text}
      namePlacement={p.options.namePlacement} alignmentFactors={alignmentFactors} />
  ));
}

function TablePanel(p: any) {
  const frame = p.data.series[0];
  if (!frame) {
    return <div>No data</div>;
  }
  cacheFieldDisplayNames(p.data.series);
  return (
    <TableNG data={frame} width={p.width} height={p.height} structureRev={p.data.structureRev} fieldConfig={p.fieldConfig}
      initialSortBy={p.options.sortBy} sortBy={p.options.sortBy} cellHeight={p.options.cellHeight} showTypeIcons={false} />
  );
}

const hidden = { legend: false, tooltip: false, viz: false };

const graphDefaults = {
  drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none', showPoints: 'auto', pointSize: 5,
  axisPlacement: 'auto', axisLabel: '', axisSoftMin: undefined, axisSoftMax: undefined, scaleDistribution: { type: 'linear' },
  stacking: { group: 'A', mode: 'none' }, hideFrom: hidden, thresholdsStyle: { mode: 'off' }, spanNulls: false, lineStyle: undefined, barAlignment: 0,
};
const tableDefaults = { align: 'auto', cellOptions: { type: 'auto' }, inspect: false, width: undefined, minWidth: undefined, hidden: false, hideFrom: hidden };

// known are the panel types, with the possible keys of fieldConfig.custom for each.
export const known: Record<string, Record<string, any>> = { timeseries: graphDefaults, stat: {}, bargauge: {}, table: tableDefaults };

// colours are the modes that Grafana's own panels begin with.
const colours: Record<string, string> = { timeseries: 'palette-classic', stat: 'thresholds', bargauge: 'thresholds', table: 'thresholds' };

export function register() {
  const components: Record<string, any> = { timeseries: TimeSeriesPanel, stat: StatPanel, bargauge: BarGaugePanel, table: TablePanel };
  for (const [pluginId, defaults] of Object.entries(known)) {
    sceneUtils.registerRuntimePanelPlugin({ pluginId, plugin: new PanelPlugin(components[pluginId]).useFieldConfig(custom(defaults)) as any });
  }
}
