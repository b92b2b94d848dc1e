{{/* librdkafka's properties. A secret's value is the name of a mounted file, in Kafka's own form. */}}
{{- define "lipstage.kafkaProperties" -}}
{{- $kafka := .Values.kafka -}}
{{- $sasl := $kafka.sasl -}}
security.protocol={{ $kafka.protocol }}
{{- if hasPrefix "SASL" $kafka.protocol }}
sasl.mechanism={{ $sasl.mechanism }}
{{- if eq $sasl.mechanism "OAUTHBEARER" }}
sasl.oauthbearer.method=oidc
sasl.oauthbearer.client.id={{ include "lipstage.saslFile" $sasl.usernameKey }}
sasl.oauthbearer.client.secret={{ include "lipstage.saslFile" $sasl.passwordKey }}
sasl.oauthbearer.token.endpoint.url={{ include "lipstage.saslFile" $sasl.tokenEndpointKey }}
{{- with $sasl.scopeKey }}
sasl.oauthbearer.scope={{ include "lipstage.saslFile" . }}
{{- end }}
{{- else }}
sasl.username={{ include "lipstage.saslFile" $sasl.usernameKey }}
sasl.password={{ include "lipstage.saslFile" $sasl.passwordKey }}
{{- end }}
{{- end }}
{{- if hasSuffix "SSL" $kafka.protocol }}
{{- with $kafka.tls.caSecret.name }}
ssl.ca.location=/etc/lipstage/kafka-ca/{{ $kafka.tls.caSecret.key }}
{{- end }}
{{- if $kafka.tls.clientSecret.name }}
ssl.certificate.location=/etc/lipstage/kafka-client/{{ $kafka.tls.clientSecret.certKey }}
ssl.key.location=/etc/lipstage/kafka-client/{{ $kafka.tls.clientSecret.keyKey }}
{{- with $kafka.tls.clientSecret.keyPasswordKey }}
ssl.key.password=${directory:/etc/lipstage/kafka-client:{{ . }}}
{{- end }}
{{- end }}
ssl.endpoint.identification.algorithm={{ $kafka.tls.verifyHostname | ternary "https" "none" }}
{{- end }}
{{- range $name, $value := $kafka.properties }}
{{- /* Helm reads every number of a file as a float, which would be written as 1e+07. */}}
{{ $name }}={{ kindIs "float64" $value | ternary (int64 $value) $value }}
{{- end }}
{{- end -}}

{{- define "lipstage.saslFile" -}}
${directory:/etc/lipstage/kafka-sasl:{{ . }}}
{{- end -}}

{{/* What KEDA needs beside the lag's own values, in its names; all values are strings. */}}
{{- define "lipstage.kedaSecurity" -}}
{{- $kafka := .Values.kafka -}}
{{- if hasPrefix "SASL" $kafka.protocol }}
sasl: {{ get (dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512" "OAUTHBEARER" "oauthbearer") $kafka.sasl.mechanism }}
{{- end }}
{{- if hasSuffix "SSL" $kafka.protocol }}
tls: enable
{{- if not $kafka.tls.verifyHostname }}
unsafeSsl: "true"
{{- end }}
{{- end }}
{{- end -}}

{{/* Which keys of which Secrets KEDA reads, as JSON; empty without SASL and TLS. */}}
{{- define "lipstage.kedaSecrets" -}}
{{- $kafka := .Values.kafka -}}
{{- $sasl := $kafka.sasl -}}
{{- $refs := list -}}
{{- if hasPrefix "SASL" $kafka.protocol -}}
  {{- $refs = append $refs (dict "parameter" "username" "name" $sasl.existingSecret "key" $sasl.usernameKey) -}}
  {{- $refs = append $refs (dict "parameter" "password" "name" $sasl.existingSecret "key" $sasl.passwordKey) -}}
  {{- if eq $sasl.mechanism "OAUTHBEARER" -}}
    {{- $refs = append $refs (dict "parameter" "oauthTokenEndpointUri" "name" $sasl.existingSecret "key" $sasl.tokenEndpointKey) -}}
    {{- with $sasl.scopeKey -}}
      {{- $refs = append $refs (dict "parameter" "scopes" "name" $sasl.existingSecret "key" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if hasSuffix "SSL" $kafka.protocol -}}
  {{- $tls := $kafka.tls -}}
  {{- if $tls.caSecret.name -}}
    {{- $refs = append $refs (dict "parameter" "ca" "name" $tls.caSecret.name "key" $tls.caSecret.key) -}}
  {{- end -}}
  {{- if $tls.clientSecret.name -}}
    {{- $refs = append $refs (dict "parameter" "cert" "name" $tls.clientSecret.name "key" $tls.clientSecret.certKey) -}}
    {{- $refs = append $refs (dict "parameter" "key" "name" $tls.clientSecret.name "key" $tls.clientSecret.keyKey) -}}
    {{- with $tls.clientSecret.keyPasswordKey -}}
      {{- $refs = append $refs (dict "parameter" "keyPassword" "name" $tls.clientSecret.name "key" .) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $refs | toJson -}}
{{- end -}}
