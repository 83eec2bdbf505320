{{/* The objects of a file of this chart, as {objects: [...]}. */}}
{{- define "relora.read" -}}
{{- $objects := list -}}
{{- range splitList "\n---\n" (.files.Get .path) -}}
{{- $object := fromYaml . -}}
{{- if $object }}{{ $objects = append $objects $object }}{{ end -}}
{{- end -}}
{{- toYaml (dict "objects" $objects) -}}
{{- end -}}

{{/* A strategic merge of `patch` into `value`, as {value: ...}. Lists of objects merge by their names. */}}
{{- define "relora.merge" -}}
{{- $value := .value -}}
{{- if and (kindIs "map" .value) (kindIs "map" .patch) -}}
{{- $value = deepCopy .value -}}
{{- range $key, $part := .patch -}}
{{- if kindIs "invalid" $part -}}
{{- $value = omit $value $key -}}
{{- else if hasKey $value $key -}}
{{- $merged := include "relora.merge" (dict "value" (get $value $key) "patch" $part) | fromYaml -}}
{{- $value = set $value $key $merged.value -}}
{{- else -}}
{{- $value = set $value $key $part -}}
{{- end -}}
{{- end -}}
{{- else if and (kindIs "slice" .value) (kindIs "slice" .patch) .patch (kindIs "map" (first .patch)) -}}
{{- $by := ternary "mountPath" "name" (hasKey (first .patch) "mountPath") -}}
{{- if hasKey (first .patch) $by -}}
{{- $patches := dict -}}
{{- range .patch }}{{ $patches = set $patches (get . $by) . }}{{ end -}}
{{- $value = list -}}
{{- $known := list -}}
{{- range .value -}}
{{- $name := get . $by -}}
{{- $known = append $known $name -}}
{{- $merged := include "relora.merge" (dict "value" . "patch" (get $patches $name | default dict)) | fromYaml -}}
{{- $value = append $value $merged.value -}}
{{- end -}}
{{- range .patch }}{{ if not (has (get . $by) $known) }}{{ $value = append $value . }}{{ end }}{{ end -}}
{{- else -}}
{{- $value = .patch -}}
{{- end -}}
{{- else -}}
{{- $value = .patch -}}
{{- end -}}
{{- toYaml (dict "value" $value) -}}
{{- end -}}

{{/* Add the labels of the project where kustomize adds them: to objects, pods and selectors. */}}
{{- define "relora.label" -}}
{{- $labels := .labels -}}
{{- $object := .object -}}
{{- $_ := set $object.metadata "labels" (merge (dict) $labels ($object.metadata.labels | default dict)) -}}
{{- $spec := $object.spec | default dict -}}
{{- $selector := $spec.selector | default dict -}}
{{- if eq $object.kind "Service" -}}
{{- $_ := set $spec "selector" (merge (dict) $labels $selector) -}}
{{- else if and (hasKey $selector "matchLabels") (ne $object.kind "ServiceMonitor") -}}
{{- $_ := set $selector "matchLabels" (merge (dict) $labels $selector.matchLabels) -}}
{{- end -}}
{{- if and (hasKey $spec "template") (ne $object.kind "ScaledJob") -}}
{{- $_ := set $spec.template.metadata "labels" (merge (dict) $labels $spec.template.metadata.labels) -}}
{{- range $spec.template.spec.topologySpreadConstraints -}}
{{- $_ := set .labelSelector "matchLabels" (merge (dict) $labels .labelSelector.matchLabels) -}}
{{- end -}}
{{- end -}}
{{- if eq $object.kind "NetworkPolicy" -}}
{{- $selectors := list $spec.podSelector -}}
{{- range $spec.ingress }}{{ range .from }}{{ $selectors = append $selectors (.podSelector | default dict) }}{{ end }}{{ end -}}
{{- range $spec.egress }}{{ range .to }}{{ $selectors = append $selectors (.podSelector | default dict) }}{{ end }}{{ end -}}
{{- range $selectors }}{{ if .matchLabels }}{{ $_ := set . "matchLabels" (merge (dict) $labels .matchLabels) }}{{ end }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Set the images and the name of the ConfigMap in the containers of a pod. */}}
{{- define "relora.containers" -}}
{{- $root := .root -}}
{{- $config := .config -}}
{{- range $container := concat (.pod.initContainers | default list) (.pod.containers | default list) -}}
{{- with get $root.Values.images $container.image -}}
{{- $version := ternary (printf "@%s" .digest) (printf ":%s" (.tag | default $root.Chart.AppVersion | toString)) (not (empty .digest)) -}}
{{- $_ := set $container "image" (printf "%s%s" .name $version) -}}
{{- end -}}
{{- range $container.envFrom -}}
{{- if .configMapRef }}{{ $_ := set .configMapRef "name" $config }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a pool of workers changes in the Deployment of workers. */}}
{{- define "relora.pool" -}}
metadata:
  name: relora-worker-{{ .name }}
spec:
  replicas: {{ .replicas }}
  selector:
    matchLabels:
      app.kubernetes.io/instance: {{ .name }}
  template:
    metadata:
      labels:
        app.kubernetes.io/instance: {{ .name }}
    spec:
      nodeSelector: {{ toYaml (.nodeSelector | default dict) | nindent 8 }}
      containers:
        - name: worker
          {{- with .class }}
          env:
            - name: RELORA_GPU_CLASS
              value: {{ . | quote }}
          {{- end }}
          resources:
            requests:
              cpu: {{ .cpu | quote }}
              memory: {{ .memory | quote }}
            limits:
              memory: {{ .memory | quote }}
              nvidia.com/gpu: {{ .gpus }}
{{- end -}}
