{{/* Metadata of an object of one service: (root, key, name). */}}
{{- define "lipstage.serviceMetadata" -}}
name: {{ .name }}
labels:
  {{- include "lipstage.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .key }}
{{- end -}}

{{- define "lipstage.serviceSelector" -}}
{{ include "lipstage.selectorLabels" .root }}
app.kubernetes.io/component: {{ .key }}
{{- end -}}

{{- define "lipstage.deployment" -}}
{{- $service := .service -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "lipstage.serviceMetadata" . | nindent 2 }}
spec:
  {{- /* An upgrade must not reset what a scaler has set. */}}
  {{- if eq $service.autoscaling.mode "none" }}
  replicas: {{ $service.replicas | int }}
  {{- end }}
  revisionHistoryLimit: 5
  progressDeadlineSeconds: {{ $service.progressDeadlineSeconds | int }}
  strategy:
    type: {{ $service.strategy.type }}
    {{- if eq $service.strategy.type "RollingUpdate" }}
    rollingUpdate:
      {{- toYaml $service.strategy.rollingUpdate | nindent 6 }}
    {{- end }}
  selector:
    matchLabels:
      {{- include "lipstage.serviceSelector" . | nindent 6 }}
  template:
    {{- include "lipstage.podTemplate" (dict "root" .root "service" $service "args" $service.args "account" (include "lipstage.serviceAccount" .)) | nindent 4 }}
{{- end -}}

{{- define "lipstage.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "lipstage.serviceMetadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .service.podDisruptionBudget.maxUnavailable | toJson }}
  # A pod that never becomes ready must not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "lipstage.serviceSelector" . | nindent 6 }}
{{- end -}}

{{- define "lipstage.projectionService" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "lipstage.serviceMetadata" . | nindent 2 }}
spec:
  selector:
    {{- include "lipstage.serviceSelector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .root.Values.projection.port | int }}, targetPort: http, protocol: TCP}
{{- end -}}

{{- define "lipstage.gatewayService" -}}
{{- $gateway := .root.Values.gateway -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "lipstage.serviceMetadata" . | nindent 2 }}
spec:
  selector:
    {{- include "lipstage.serviceSelector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ $gateway.port | int }}, targetPort: http, protocol: TCP}
    {{- if $gateway.grpcPort }}
    - {name: grpc, port: {{ $gateway.grpcPort | int }}, targetPort: grpc, protocol: TCP, appProtocol: kubernetes.io/h2c}
    {{- end }}
{{- end -}}
