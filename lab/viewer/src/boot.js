// SPDX-License-Identifier: Apache-2.0

// What Grafana's libraries expect to find in the window when they load: in
// Grafana the server writes it into the page.
window.process = { env: {} };
window.grafanaBootData = {
  settings: { buildInfo: { version: '13.2.2' }, featureToggles: {}, datasources: {}, panels: {}, bootData: {}, appUrl: '/', appSubUrl: '' },
  user: { timezone: 'utc', lightTheme: false, locale: 'en-US', permissions: {}, orgRole: 'Viewer' },
  navTree: [],
  themePaths: { dark: '', light: '' },
};
