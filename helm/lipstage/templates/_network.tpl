{{/* Ports of the addresses in a list, and more, as JSON: (addresses, more, default by scheme). */}}
{{- define "lipstage.ports" -}}
{{- $ports := list -}}
{{- range .more }}{{- $ports = append $ports (int .) -}}{{- end -}}
{{- range .addresses -}}
  {{- $url := urlParse (contains "://" . | ternary . (printf "tcp://%s" .)) -}}
  {{- $own := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
  {{- $ports = append $ports (int ($own | default (eq $url.scheme "http" | ternary 80 443))) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* Rules of egress to what the values name, as YAML: of each the peers, and the ports of its addresses and of its value. */}}
{{- define "lipstage.egress" -}}
{{- $values := .Values -}}
{{- $policy := $values.networkPolicy -}}
{{- $rules := list -}}
{{- $rules = append $rules (dict "to" $policy.kafka.to "more" $policy.kafka.ports "addresses" (splitList "," $values.kafka.bootstrapServers)) -}}
{{- $rules = append $rules (dict "to" $policy.s3.to "more" $policy.s3.ports "addresses" (list ($values.s3.endpointUrl | default "https://amazon"))) -}}
{{- with $values.telemetry.endpoint -}}
  {{- /* gRPC takes 443 for an address without a port, whatever its scheme. */ -}}
  {{- $address := eq $values.telemetry.protocol "grpc" | ternary (regexReplaceAll "^http:" . "https:") . -}}
  {{- $rules = append $rules (dict "to" $policy.otlp.to "more" $policy.otlp.ports "addresses" (list $address)) -}}
{{- end -}}
{{- if and $values.gateway.tempoUrl (hasKey (include "lipstage.merged" . | fromJson) "gateway") -}}
  {{- $rules = append $rules (dict "to" $policy.tempo.to "more" $policy.tempo.ports "addresses" (list $values.gateway.tempoUrl)) -}}
{{- end -}}
{{- $services := include "lipstage.merged" . | fromJson -}}
{{- if and $values.keys.webhookKey (or (hasKey $services "webhooks") (hasKey $services "gateway")) -}}
  {{- $rules = append $rules (dict "to" $policy.webhooks.to "more" $policy.webhooks.ports "addresses" list) -}}
{{- end -}}
{{- if $values.podDeletionCost.enabled -}}
  {{- $rules = append $rules (dict "to" $policy.apiServer.to "more" $policy.apiServer.ports "addresses" list) -}}
{{- end -}}
{{- if eq $values.s3.credentials "identity" -}}
  {{- /* EKS Pod Identity's agent, the instance's own credentials, and STS, to which IRSA's token goes. */ -}}
  {{- $agents := list (dict "ipBlock" (dict "cidr" "169.254.170.23/32")) (dict "ipBlock" (dict "cidr" "169.254.169.254/32")) -}}
  {{- $rules = append $rules (dict "to" $agents "more" (list 80) "addresses" list) -}}
  {{- $rules = append $rules (dict "to" list "more" (list 443) "addresses" list) -}}
{{- end -}}
{{- range $rules }}
- ports:
    {{- range include "lipstage.ports" . | fromJsonArray }}
    - {port: {{ int . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
