{{/* The labels of a part: dict "root" $ "part" "portal". */}}
{{- define "romanhub.labels" -}}
{{ include "romanhub.select" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The labels by which a part's pods are found. The API of Dask Gateway has the `app` of its own chart, whose Service finds it. */}}
{{- define "romanhub.select" -}}
app.kubernetes.io/name: {{ .app | default "romanhub" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{/* The pod's part of the restricted Pod Security Standard. */}}
{{- define "romanhub.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The container's part of it. */}}
{{- define "romanhub.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "romanhub.image" -}}
image: {{ printf "%s:%s" .name .tag }}
{{- with .pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{/* The resources of a part, without what is not said. */}}
{{- define "romanhub.resources" -}}
{{- $found := dict }}
{{- range $kind := list "requests" "limits" }}
{{- $said := dict }}
{{- range $name, $amount := (index $ $kind | default dict) }}
{{- if $amount }}{{- $_ := set $said $name ($amount | toString) }}{{- end }}
{{- end }}
{{- if $said }}{{- $_ := set $found $kind $said }}{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{/* What a service of the hub is told: dict "root" $ "service" "portal". */}}
{{- define "romanhub.serviceEnv" -}}
- {name: JUPYTERHUB_SERVICE_NAME, value: {{ .service }}}
- {name: JUPYTERHUB_SERVICE_PREFIX, value: /services/{{ .service }}/}
- {name: JUPYTERHUB_BASE_URL, value: /}
{{ include "romanhub.hubEnv" . }}
{{- end }}

{{- define "romanhub.hubEnv" -}}
- {name: JUPYTERHUB_API_URL, value: "http://hub:8081/hub/api"}
- name: JUPYTERHUB_API_TOKEN
  valueFrom: {secretKeyRef: {name: romanhub-hub, key: {{ .service }}}}
{{- end }}

{{/* Where the ledger and the files are. */}}
{{- define "romanhub.ledgerEnv" -}}
- name: HUBQUOTA_DATABASE_URL
  valueFrom: {secretKeyRef: {name: romanhub-databases, key: ledger}}
- {name: HUBQUOTA_TIERS, value: /etc/romanhub/files/tiers.yaml}
{{- end }}

{{/* The purge's file, for those that show it, or go by its quarantine. */}}
{{- define "romanhub.purgeEnv" -}}
{{- if .Values.purge }}
- {name: HUBQUOTA_PURGE, value: /etc/romanhub/files/purge.yaml}
{{- end }}
{{- end }}

{{/* Where the community's catalogue is, and how its notebooks are run. */}}
{{- define "romanhub.catalogueEnv" -}}
- name: ROMANHUB_COMMUNITY_DATABASE_URL
  valueFrom: {secretKeyRef: {name: romanhub-databases, key: community}}
- {name: ROMANHUB_RUNS, value: /etc/romanhub/settings/runs.yaml}
{{- end }}

{{/*
A Deployment with its ServiceAccount, and where it has a port its Service.
dict "root" $ "part" name "values" values "image" image "command" list "env" text "port" number
     "health" path "extra" dict with hub (reaches the hub), replicas, token (of Kubernetes), strategy, volumes, mounts, ports
*/}}
{{- define "romanhub.part" -}}
{{- $ := .root }}
{{- $extra := .extra | default dict }}
{{- $name := printf "romanhub-%s" .part }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  labels: {{- include "romanhub.labels" . | nindent 4 }}
  {{- with $extra.accountAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels: {{- include "romanhub.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicas | default 1 }}
  {{- if $extra.recreate }}
  # Two of it would do things twice, or want one volume.
  strategy: {type: Recreate}
  {{- end }}
  selector:
    matchLabels: {{- include "romanhub.select" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "romanhub.labels" . | nindent 8 }}
        {{- if $extra.hub }}
        hub.jupyter.org/network-access-hub: "true"
        {{- end }}
      annotations:
        # The files of tiers and data sets are read again when they change; settings are not.
        romanhub.org/settings: {{ toYaml (list $.Values.global.romanhub $.Values.dask $.Values.runs) | sha256sum | trunc 16 }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: {{ $extra.token | default false }}
      priorityClassName: {{ $.Release.Namespace }}-core
      {{- with $.Values.imagePullSecrets }}
      imagePullSecrets: {{- range . }}
        - name: {{ . }}
      {{- end }}
      {{- end }}
      securityContext: {{- include "romanhub.podSecurity" . | nindent 8 }}
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              preference:
                matchExpressions: [{key: hub.jupyter.org/node-purpose, operator: In, values: [core]}]
      tolerations:
        - {key: hub.jupyter.org/dedicated, operator: Equal, value: core, effect: NoSchedule}
      {{- if gt (int (.values.replicas | default 1)) 1 }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "romanhub.select" . | nindent 14 }}
      {{- end }}
      containers:
        - name: {{ .part }}
          {{- include "romanhub.image" .image | nindent 10 }}
          {{- with .command }}
          command: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $extra.args }}
          args: {{- toYaml . | nindent 12 }}
          {{- end }}
          terminationMessagePolicy: FallbackToLogsOnError
          securityContext: {{- include "romanhub.containerSecurity" . | nindent 12 }}
          resources: {{- include "romanhub.resources" (.values.resources | default dict) | nindent 12 }}
          {{- with .env }}
          env: {{- . | nindent 12 }}
          {{- end }}
          {{- if or .port $extra.ports }}
          ports:
            {{- with .port }}
            - {name: http, containerPort: {{ . }}}
            {{- end }}
            {{- with $extra.ports }}{{- toYaml . | nindent 12 }}{{- end }}
          {{- end }}
          {{- with .health }}
          readinessProbe:
            httpGet: {path: {{ . }}, port: {{ $extra.healthPort | default "http" }}}
            periodSeconds: 5
            timeoutSeconds: 3
          livenessProbe:
            httpGet: {path: {{ . }}, port: {{ $extra.healthPort | default "http" }}}
            initialDelaySeconds: 60
            periodSeconds: 20
            timeoutSeconds: 5
            failureThreshold: 6
          {{- end }}
          volumeMounts:
            - {name: settings, mountPath: /etc/romanhub/settings, readOnly: true}
            - {name: files, mountPath: /etc/romanhub/files, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- with $extra.mounts }}{{- toYaml . | nindent 12 }}{{- end }}
      volumes:
        - {name: settings, configMap: {name: romanhub-settings}}
        - {name: files, configMap: {name: romanhub-files}}
        - {name: tmp, emptyDir: {sizeLimit: 1Gi}}
        {{- with $extra.volumes }}{{- toYaml . | nindent 8 }}{{- end }}
{{- if gt (int (.values.replicas | default 1)) 1 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels: {{- include "romanhub.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "romanhub.select" . | nindent 6 }}
{{- end }}
{{- if and .port (not $extra.noService) }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- include "romanhub.labels" . | nindent 4 }}
spec:
  selector: {{- include "romanhub.select" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .port }}, targetPort: http}
    {{- range $extra.ports }}
    {{- if ne .name "metrics" }}
    - {name: {{ .name }}, port: {{ .containerPort }}, targetPort: {{ .name }}}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}

{{/* What both programs of Dask Gateway are told: what follows from this release, under what the values say. */}}
{{- define "romanhub.dask" -}}
{{- $settings := .Values.global.romanhub }}
{{- $image := .Values.jupyterhub.singleuser.image }}
{{- $given := .Values.dask | default dict }}
{{- $inside := $settings.insideUrl | trimSuffix "/" }}
{{- $found := dict
  "instance" "dask-gateway"
  "namespace" .Release.Namespace
  "api_url" (printf "http://api-dask-gateway.%s:8000/api" .Release.Namespace)
  "image" (printf "%s:%s" $image.name ($image.tag | toString))
  "image_pull_secrets" .Values.imagePullSecrets
  "tiers_file" "/etc/romanhub/files/tiers.yaml"
  "region" $settings.storage.region
  "environment" (dict "ROMANHUB_BROKER_URL" (printf "%s/services/broker/" $inside) "AWS_CONFIG_FILE" "/etc/romanhub/aws/config")
  "config_folders" (dict "romanhub-aws" "/etc/romanhub/aws")
  "network_policies" .Values.network.enabled
  "scheduler" (dict "nodes" (dict "priority_class" (printf "%s-dask-scheduler" .Release.Namespace)))
  "workers" (dict "nodes" (dict "priority_class" (printf "%s-dask-worker" .Release.Namespace)))
}}
{{- toYaml (mergeOverwrite $found (deepCopy $given)) }}
{{- end }}
