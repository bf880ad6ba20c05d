{{- define "evermuse.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "evermuse.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "evermuse.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "evermuse.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "evermuse.secret" -}}
{{ .Values.secrets.existing | default (printf "%s-secrets" (include "evermuse.name" .)) }}
{{- end }}

{{- define "evermuse.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "evermuse.labels" -}}
{{ include "evermuse.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The pod of a process. Takes root, component, command (a list), resources, probes (YAML), env (YAML). */}}
{{- define "evermuse.pod" -}}
serviceAccountName: {{ include "evermuse.serviceAccount" .root }}
{{- /* Kubernetes would set variables such as EVERMUSE_PORT for each Service. */}}
enableServiceLinks: false
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
containers:
  - name: {{ .component }}
    image: {{ include "evermuse.image" .root | quote }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    command: {{- toYaml .command | nindent 6 }}
    envFrom:
      - configMapRef: {name: {{ include "evermuse.name" .root }}-settings}
      - secretRef: {name: {{ include "evermuse.secret" .root }}}
    {{- with .env }}
    env: {{- . | nindent 6 }}
    {{- end }}
    {{- with .probes }}
    {{- . | nindent 4 }}
    {{- end }}
    resources: {{- toYaml .resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: ["ALL"]}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: home, mountPath: /var/lib/evermuse}
      {{- with .root.Values.volumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - {name: tmp, emptyDir: {}}
  - {name: home, emptyDir: {}}
  {{- with .root.Values.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "evermuse.selector" . | nindent 8 }}
{{- end }}

{{/* Pods are replaced when settings or secrets change. */}}
{{- define "evermuse.checksums" -}}
{{- with .Values.podAnnotations }}
{{- toYaml . }}
{{ end -}}
checksum/settings: {{ toJson .Values.settings | sha256sum }}
checksum/secrets: {{ toJson .Values.secrets | sha256sum }}
{{- end }}

{{- define "evermuse.alive" -}}
livenessProbe:
  exec: {command: ["python", "-m", "evermuse.alive"]}
  initialDelaySeconds: 60
  periodSeconds: 30
  timeoutSeconds: 10
{{- end }}

{{/* Values that are valid alone and would not work together. Each is refused by its name. */}}
{{- define "evermuse.contradictions" -}}
{{- if .Values.secrets.existing }}
{{- range $name, $value := .Values.secrets.values }}
{{- if $value }}
{{- fail (printf "secrets.values.%s would be ignored, because secrets.existing is set: put it into that Secret" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.web.autoscaling.enabled }}
{{- if not (dig "requests" "cpu" "" (.Values.web.resources | default dict)) }}
{{- fail "web.autoscaling needs web.resources.requests.cpu: it compares the use with it" }}
{{- end }}
{{- if gt (int .Values.web.autoscaling.minReplicas) (int .Values.web.autoscaling.maxReplicas) }}
{{- fail "web.autoscaling.minReplicas must not be greater than web.autoscaling.maxReplicas" }}
{{- end }}
{{- end }}
{{- range $component := list "landing" "attachments" }}
{{- $keda := (index $.Values $component).keda }}
{{- if and $keda.enabled (gt (int $keda.minReplicas) (int $keda.maxReplicas)) }}
{{- fail (printf "%s.keda.minReplicas must not be greater than %s.keda.maxReplicas" $component $component) }}
{{- end }}
{{- end }}
{{- if .Values.ingress.enabled }}
{{- $host := .Values.ingress.host }}
{{- $isAllowed := false }}
{{- range splitList "," (.Values.settings.EVERMUSE_ALLOWED_HOSTS | default "") }}
{{- $one := trim . }}
{{- if or (eq $one "*") (eq $one $host) (and (hasPrefix "." $one) (hasSuffix $one (printf ".%s" $host))) }}
{{- $isAllowed = true }}
{{- end }}
{{- end }}
{{- if not $isAllowed }}
{{- fail (printf "settings.EVERMUSE_ALLOWED_HOSTS must contain ingress.host (%s): web would refuse its requests" $host) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The networks of a list that are of one family. Takes networks, v6. */}}
{{- define "evermuse.family" -}}
{{- $found := list }}
{{- range .networks }}
{{- if eq (contains ":" .) $.v6 }}{{ $found = append $found . }}{{ end }}
{{- end }}
{{- toYaml $found }}
{{- end }}
