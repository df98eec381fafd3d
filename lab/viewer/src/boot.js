// SPDX-License-Identifier: Apache-2.0

// Globals that Grafana's libraries need when they load. In Grafana the server writes
// them into the page.
window.process = { env: {} };
window.grafanaBootData = {
  settings: { buildInfo: { version: '13.2.2' }, featureToggles: {}, datasources: {}, panels: {}, bootData: {}, appUrl: '/', appSubUrl: '' },
  user: { timezone: 'utc', lightTheme: false, locale: 'en-US', permissions: {}, orgRole: 'Viewer' },
  navTree: [],
  themePaths: { dark: '', light: '' },
};
