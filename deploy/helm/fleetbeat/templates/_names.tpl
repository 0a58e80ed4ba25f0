{{- define "fleetbeat.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "fleetbeat.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "fleetbeat.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "fleetbeat.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fleetbeat.selector" -}}
app.kubernetes.io/name: {{ include "fleetbeat.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fleetbeat.labels" -}}
{{ include "fleetbeat.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "fleetbeat.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "fleetbeat.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- /* The API of the cluster that fleetbeat runs on is asked for something. */ -}}
{{- define "fleetbeat.asksThisCluster" -}}
{{- if or .Values.rbac.secrets.enabled .Values.rbac.tokenReview .Values.rbac.watchThisCluster -}}true{{- end -}}
{{- end -}}

{{- define "fleetbeat.settings" -}}
{{- $own := dict "data_dir" "/var/lib/fleetbeat" -}}
{{- if .Values.database.existingSecret -}}
{{- $_ := set $own "database_url_file" "/etc/fleetbeat/database/url" -}}
{{- end -}}
{{- if .Values.redis.existingSecret -}}
{{- $_ := set $own "redis_url_file" "/etc/fleetbeat/redis/url" -}}
{{- end -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) -}}
{{- end -}}
