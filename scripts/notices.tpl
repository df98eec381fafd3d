{{ range . }}{{ printf "%q %q %q %q %q" .Name .Version .LicenseName .LicensePath .LicenseText }}
{{ end }}