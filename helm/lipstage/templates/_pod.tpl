{{/* Metadata and specification of a pod: (root, service, args, restartPolicy, account). */}}
{{- define "lipstage.podTemplate" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $cost := include "lipstage.writesDeletionCost" (dict "root" $root "service" $service) -}}
metadata:
  labels:
    {{- include "lipstage.podLabels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ $service.key }}
    {{- with $service.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    checksum/kafka: {{ include "lipstage.kafkaProperties" $root | sha256sum }}
    {{- with $service.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ .account }}
  automountServiceAccountToken: {{ not (empty $cost) }}
  # Without this a Service named lipstage-x would set LIPSTAGE_X_PORT.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $service.terminationGracePeriodSeconds | int }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    {{- toYaml $root.Values.podSecurityContext | nindent 4 }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- range $field := list "runtimeClassName" "priorityClassName" "schedulerName" "nodeSelector" "tolerations" "affinity" }}
  {{- with index $service $field }}
  {{ $field }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if and $service.stage $service.topologySpread.enabled (gt (int $service.maxReplicas) 1) }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: {{ $service.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "lipstage.selectorLabels" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $service.key }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  containers:
    - name: lipstage
      image: {{ include "lipstage.image" (dict "root" $root "service" $service) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ .args | toJson }}
      env:
        {{- include "lipstage.env" (dict "root" $root "service" $service) | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      {{- if $service.stage }}
      ports:
        - {name: health, containerPort: 8080, protocol: TCP}
        {{- if eq $service.stage "projection" }}
        - {name: http, containerPort: {{ $root.Values.projection.port | int }}, protocol: TCP}
        {{- else if eq $service.stage "gateway" }}
        - {name: http, containerPort: {{ $root.Values.gateway.port | int }}, protocol: TCP}
        {{- if $root.Values.gateway.grpcPort }}
        - {name: grpc, containerPort: {{ $root.Values.gateway.grpcPort | int }}, protocol: TCP}
        {{- end }}
        {{- end }}
      {{- range $name, $probe := $service.probes }}
      {{ $name }}Probe:
        httpGet: {path: {{ $probe.path }}, port: health}
        {{- toYaml (omit $probe "path") | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- with $service.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      resources:
        {{- include "lipstage.resources" $service | nindent 8 }}
      volumeMounts:
        - {name: scratch, mountPath: /scratch}
        - {name: tmp, mountPath: /tmp}
        - {name: kafka, mountPath: /etc/lipstage/kafka, readOnly: true}
        {{- range $name, $secret := include "lipstage.secretVolumes" (dict "root" $root "service" $service) | fromJson }}
        - {name: {{ $name }}, mountPath: /etc/lipstage/{{ $name }}, readOnly: true}
        {{- end }}
        {{- if and $service.stage $root.Values.quotas }}
        - {name: quotas, mountPath: /etc/lipstage/quotas, readOnly: true}
        {{- end }}
        {{- if and (eq $service.stage "encode") $root.Values.provenance.c2paSecret.name }}
        - {name: c2pa, mountPath: /etc/lipstage/c2pa, readOnly: true}
        {{- end }}
        {{- if $service.shm.enabled }}
        - {name: shm, mountPath: /dev/shm}
        {{- end }}
        {{- if eq $service.weights.source "s3" }}
        - {name: weights, mountPath: /weights}
        {{- else if eq $service.weights.source "pvc" }}
        - name: weights
          mountPath: /weights
          readOnly: true
          {{- with $service.weights.pvc.subPath }}
          subPath: {{ . | quote }}
          {{- end }}
        {{- end }}
        {{- with $service.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: scratch
      emptyDir: {sizeLimit: {{ $service.scratch.sizeLimit }}}
    - name: tmp
      emptyDir: {sizeLimit: {{ $service.tmp.sizeLimit }}}
    - name: kafka
      configMap: {name: {{ .config | default (printf "%s-kafka" (include "lipstage.fullname" $root)) }}}
    {{- range $name, $secret := include "lipstage.secretVolumes" (dict "root" $root "service" $service) | fromJson }}
    - name: {{ $name }}
      secret: {secretName: {{ $secret }}, defaultMode: 0440}
    {{- end }}
    {{- if and $service.stage $root.Values.quotas }}
    - name: quotas
      configMap: {name: {{ include "lipstage.fullname" $root }}-quotas}
    {{- end }}
    {{- if and (eq $service.stage "encode") $root.Values.provenance.c2paSecret.name }}
    - name: c2pa
      secret: {secretName: {{ $root.Values.provenance.c2paSecret.name }}, defaultMode: 0440}
    {{- end }}
    {{- if $service.shm.enabled }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ $service.shm.sizeLimit }}}
    {{- end }}
    {{- if eq $service.weights.source "s3" }}
    - name: weights
      emptyDir: {sizeLimit: {{ $service.weights.sizeLimit }}}
    {{- else if eq $service.weights.source "pvc" }}
    - name: weights
      persistentVolumeClaim: {claimName: {{ $service.weights.pvc.claimName }}, readOnly: true}
    {{- end }}
    {{- with $service.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Requests and limits, with the disk and GPUs. GPUs are limits: their requests follow. */}}
{{- define "lipstage.resources" -}}
{{- $limits := .resources.limits | default dict -}}
{{- if gt (int .gpu.count) 0 -}}
  {{- $limits = merge (dict .gpu.resourceName (int .gpu.count)) $limits -}}
{{- end -}}
requests:
  {{- include "lipstage.requests" . | nindent 2 }}
{{- with $limits }}
limits:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Secrets that are mounted at /etc/lipstage, by the volume's name, as JSON: (root, service). */}}
{{- define "lipstage.secretVolumes" -}}
{{- $values := .root.Values -}}
{{- $own := .service.credentials -}}
{{- $kafka := $values.kafka -}}
{{- $mounts := dict -}}
{{- if hasPrefix "SASL" $kafka.protocol }}{{- $_ := set $mounts "kafka-sasl" ($own.kafkaSecret | default $kafka.sasl.existingSecret) -}}{{- end -}}
{{- if hasSuffix "SSL" $kafka.protocol -}}
  {{- with $kafka.tls.caSecret.name }}{{- $_ := set $mounts "kafka-ca" . -}}{{- end -}}
  {{- with $kafka.tls.clientSecret.name }}{{- $_ := set $mounts "kafka-client" ($own.kafkaClientSecret | default .) -}}{{- end -}}
{{- end -}}
{{- with $values.s3.caSecret.name }}{{- $_ := set $mounts "s3-ca" . -}}{{- end -}}
{{- if eq .service.stage "gateway" }}{{- $_ := set $mounts "api-keys" $values.gateway.keysSecret.name -}}{{- end -}}
{{- if $values.telemetry.endpoint -}}
  {{- with $values.telemetry.caSecret.name }}{{- $_ := set $mounts "otlp-ca" . -}}{{- end -}}
{{- end -}}
{{- $mounts | toJson -}}
{{- end -}}
