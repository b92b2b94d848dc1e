{{- define "lipstage.scaledObject" -}}
{{- $auto := .service.autoscaling -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  {{- include "lipstage.serviceMetadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    name: {{ .name }}
  minReplicaCount: {{ $auto.minReplicas | int }}
  maxReplicaCount: {{ $auto.maxReplicas | int }}
  pollingInterval: {{ $auto.pollingInterval | int }}
  cooldownPeriod: {{ $auto.cooldownPeriod | int }}
  initialCooldownPeriod: {{ $auto.initialCooldownPeriod | int }}
  {{- with $auto.fallback }}
  fallback:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleDown:
          {{- toYaml $auto.scaleDown | nindent 10 }}
        scaleUp:
          {{- toYaml $auto.scaleUp | nindent 10 }}
  # One for each lane. The replicas are those of the trigger that asks for most.
  triggers:
    {{- /* Tenants with topics of their own: without a topic KEDA adds up all of the group, those of new tenants too. */}}
    {{- $everyTopic := and (eq .service.stage "audio") (eq .root.Values.tenancy.mode "topic") }}
    {{- range (ternary (list "") .service.topics $everyTopic) }}
    - type: kafka
      metadata:
        bootstrapServers: {{ $.root.Values.kafka.bootstrapServers | quote }}
        consumerGroup: {{ $.service.group | quote }}
        {{- with . }}
        topic: {{ . | quote }}
        {{- end }}
        lagThreshold: {{ $auto.lagThreshold | int | quote }}
        activationLagThreshold: {{ $auto.activationLagThreshold | int | quote }}
        # A group without an offset starts at the first record; `topics apply` commits one for each new group.
        offsetResetPolicy: earliest
        # More replicas than partitions would idle.
        allowIdleConsumers: "false"
        limitToPartitionsWithLag: {{ $auto.limitToPartitionsWithLag | quote }}
        # True would read a long task, whose offset does not move, as no work.
        excludePersistentLag: "false"
        version: {{ $auto.kafkaVersion | quote }}
        {{- with include "lipstage.kedaSecurity" $.root | trim }}
        {{- . | nindent 8 }}
        {{- end }}
      {{- if include "lipstage.kedaSecrets" $.root | fromJsonArray }}
      authenticationRef:
        name: {{ include "lipstage.fullname" $.root }}-kafka
      {{- end }}
    {{- end }}
{{- end -}}

{{- define "lipstage.horizontalPodAutoscaler" -}}
{{- $auto := .service.autoscaling -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "lipstage.serviceMetadata" . | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  {{- /* A HorizontalPodAutoscaler can't go to zero. */}}
  minReplicas: {{ max 1 (int $auto.minReplicas) }}
  maxReplicas: {{ $auto.maxReplicas | int }}
  metrics:
    {{- if eq $auto.hpa.metric "cpu" }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $auto.hpa.cpuUtilization | int }}}
    {{- else }}
    {{- range .service.topics }}
    - type: External
      external:
        metric:
          name: {{ $auto.hpa.lagMetric }}
          selector: {matchLabels: {topic: {{ . | quote }}}}
        target: {type: AverageValue, averageValue: {{ $auto.lagThreshold | int | quote }}}
    {{- end }}
    {{- end }}
  behavior:
    scaleDown:
      {{- toYaml $auto.scaleDown | nindent 6 }}
    scaleUp:
      {{- toYaml $auto.scaleUp | nindent 6 }}
{{- end -}}
