{{/* Faults of Kafka, object store, keys and topics, as JSON. */}}
{{- define "lipstage.connectionFaults" -}}
{{- $values := .Values -}}
{{- $faults := list -}}
{{- if not $values.kafka.bootstrapServers -}}
  {{- $faults = append $faults "kafka.bootstrapServers is empty: set your brokers, host:port[,host:port]." -}}
{{- end -}}
{{- if and (hasPrefix "SASL" $values.kafka.protocol) (not $values.kafka.sasl.existingSecret) -}}
  {{- $faults = append $faults (printf "kafka.sasl.existingSecret is empty: %s needs a Secret with the credentials." $values.kafka.protocol) -}}
{{- end -}}
{{- $own := dict "bootstrap.servers" "kafka.bootstrapServers" "metadata.broker.list" "kafka.bootstrapServers" "security.protocol" "kafka.protocol" -}}
{{- $own = merge $own (dict "sasl.mechanism" "kafka.sasl.mechanism" "sasl.mechanisms" "kafka.sasl.mechanism" "sasl.username" "kafka.sasl.existingSecret" "sasl.password" "kafka.sasl.existingSecret") -}}
{{- $own = merge $own (dict "ssl.ca.location" "kafka.tls.caSecret" "ssl.certificate.location" "kafka.tls.clientSecret" "ssl.key.location" "kafka.tls.clientSecret" "ssl.keystore.location" "kafka.tls.clientSecret" "ssl.truststore.location" "kafka.tls.caSecret") -}}
{{- $own = merge $own (dict "ssl.endpoint.identification.algorithm" "kafka.tls.verifyHostname" "enable.ssl.certificate.verification" "kafka.tls.verifyHostname") -}}
{{- range $name, $value := $values.kafka.properties -}}
  {{- if has $name (list "transactional.id" "transaction.timeout.ms") -}}
    {{- $faults = append $faults (printf "kafka.properties has %s: producers must not be transactional, because the markers of transactions keep the lag above zero and no stage would scale to zero." $name) -}}
  {{- else if hasKey $own $name -}}
    {{- $faults = append $faults (printf "kafka.properties has %s, which the chart sets for services and KEDA alike: use %s." $name (get $own $name)) -}}
  {{- else if has $name (list "group.id" "group.instance.id") -}}
    {{- $faults = append $faults (printf "kafka.properties has %s: every service has its own, and replicas of one must differ. Leave it out." $name) -}}
  {{- else if and (regexMatch "password|secret|ssl\\.key\\.pem|sasl\\.jaas" $name) (not (regexMatch "^\\$\\{directory:[^}]+\\}$" (toString $value))) -}}
    {{- $faults = append $faults (printf "kafka.properties has %s: everybody who reads ConfigMaps would read it. Mount a Secret with extraVolumes and set ${directory:/folder:file}." $name) -}}
  {{- end -}}
{{- end -}}
{{- $faults = concat $faults (include "lipstage.retryFaults" . | fromJsonArray) -}}
{{- if not (or $values.s3.endpointUrl $values.s3.region) -}}
  {{- $faults = append $faults "s3.endpointUrl and s3.region are empty: set the address of your object store, or the region for Amazon S3." -}}
{{- end -}}
{{- if and (eq $values.s3.credentials "secret") (not $values.s3.existingSecret) -}}
  {{- $faults = append $faults "s3.existingSecret is empty: name the Secret with the access key, or set s3.credentials to identity." -}}
{{- end -}}
{{- if has $values.s3.bucket (values $values.s3.inputBuckets) -}}
  {{- $faults = append $faults (printf "s3.inputBuckets names the artifact bucket %s: a request could read the artifacts of other jobs." $values.s3.bucket) -}}
{{- end -}}
{{- if not $values.keys.existingSecret -}}
  {{- $faults = append $faults "keys.existingSecret is empty: create one with `kubectl create secret generic lipstage-keys --from-literal=cache-key=$(openssl rand -hex 32) --from-literal=hash-key=k1:$(openssl rand -hex 32)` and name it." -}}
{{- end -}}
{{- if and (eq $values.tenancy.mode "signed") (not $values.keys.tenantKey) -}}
  {{- $faults = append $faults "keys.tenantKey is empty: with tenancy.mode signed the services need the keys of the signatures." -}}
{{- end -}}
{{- if and (eq $values.topics.mode "strimzi") (not $values.topics.strimzi.cluster) -}}
  {{- $faults = append $faults "topics.strimzi.cluster is empty: name the Kafka object that gets the topics." -}}
{{- end -}}
{{- if and $values.topics.schedule (eq $values.topics.mode "none") -}}
  {{- $faults = append $faults "topics.schedule is set and topics.mode none: its job would make topics. Leave one of them." -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}

{{/* Faults of kafka.retryTiers, as JSON: the rules of shared/messages/tiers.py. */}}
{{- define "lipstage.retryFaults" -}}
{{- $faults := list -}}
{{- $before := 0 -}}
{{- range .Values.kafka.retryTiers -}}
  {{- $seconds := mul (regexFind "[0-9]+" . | int) (get (dict "s" 1 "m" 60 "h" 3600) (regexFind "[smh]$" .)) | int -}}
  {{- if gt $seconds 86400 -}}
    {{- $faults = append $faults (printf "kafka.retryTiers has %s: a tier is at most 24h, since a longer one could outlast its topic's retention." .) -}}
  {{- end -}}
  {{- if le $seconds $before -}}
    {{- $faults = append $faults (printf "kafka.retryTiers has %s after one that is as long: each must be longer than the one before." .) -}}
  {{- end -}}
  {{- $before = $seconds -}}
{{- end -}}
{{- $faults | toJson -}}
{{- end -}}
