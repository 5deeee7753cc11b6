package dev.edgekit.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test

class ModelSpecTest {
    @Test
    fun `everything is read from the artifact`() {
        val spec = ModelSpec.read(Given.tiny())
        assertEquals("py:nets:tiny", spec.model)
        assertEquals(listOf("tflite", "int8-static", "model.tflite"), listOf(spec.target, spec.scheme, spec.file))
        assertEquals(listOf(1, 32, 32, 3), spec.input.shape)
        assertEquals(ElementType.UINT8 to Layout.NHWC, spec.input.type to spec.input.layout)
        assertEquals(1f to 0, spec.input.scale to spec.input.zeroPoint)
        assertEquals(5, spec.labels.size)
        assertEquals(20, spec.outputs.single().bytes)
        assertTrue(spec.folded)
        assertEquals(Scores.LOGITS to false, spec.classification().run { scores to independent })
        assertEquals("scores" to 0.011810524389147758, spec.outputs.single().run { role to tolerance })
        assertEquals("TFLite 2.16.1", spec.oldest["arm64"])
        assertEquals("what its author trained it for", spec.knows)
        spec.checkFiles(Given.tiny())
        assertEquals(Layout.NCHW, ModelSpec.read(Given.artifact("tiny-onnx-int8")).input.layout)
    }

    @Test
    fun `a file that is cut short, changed or missing is named`() {
        val spec = ModelSpec.read(Given.tiny())
        val model = Given.tiny().read("model.tflite")
        val cut = thrown<DamagedFile> { spec.checkFiles(Given.tiny("model.tflite" to model.copyOf(300))) }
        assertEquals("model.tflite is damaged: it ends after 300 of 13757 bytes", cut.message)
        assertEquals("copy the whole artifact again", cut.hint)
        val longer = thrown<DamagedFile> { spec.checkFiles(Given.tiny("model.tflite" to model + 0)) }
        assertEquals("model.tflite is damaged: its checksum differs", longer.message)
        model[5000] = (model[5000] + 1).toByte()
        thrown<DamagedFile> { spec.checkFiles(Given.tiny("model.tflite" to model)) }
        val missing = thrown<MissingFile> { spec.checkFiles(Given.tiny("model.tflite" to null)) }
        assertEquals("model.tflite is missing", missing.message)
        assertEquals("manifest.json is missing", thrown<MissingFile> { ModelSpec.read(Given.tiny("manifest.json" to null)) }.message)
        assertEquals("labels.txt is missing", thrown<MissingFile> { ModelSpec.read(Given.tiny("labels.txt" to null)) }.message)
    }

    @Test
    fun `a newer schema is refused before anything else of it is read`() {
        val error = thrown<NewerSchema> { ModelSpec.parse("""{"schema": 5}""", "") }
        assertEquals("this model was exported with schema 5; this app reads up to schema 4", error.message)
        assertEquals("build the app of the edgekit that exported it, or export with the one that this app came with", error.hint)
        thrown<BadManifest> { Given.spec { it.replace("\"schema\": 1,\n  \"scheme\"", "\"schema\": 0,\n  \"scheme\"") } }
    }

    @Test
    fun `schema 2 says what scores are, and carries its own checksum`() {
        val models = Given.models.associateBy({ it.name }, { ModelSpec.read(ModelFiles.folder(it)) })
        fun said(name: String) = models.getValue("py-nets-$name").classification().run { Triple(scores, independent, threshold) }
        assertEquals(Triple(Scores.PROBABILITIES, true, 0.5f), said("ends_in_sigmoid"))
        assertEquals(Triple(Scores.LOG_PROBABILITIES, false, 0.5f), said("ends_in_log_softmax"))
        assertEquals(Triple(Scores.LOGITS, true, 0.9f), said("one_logit"))
        val folder = Given.models.first { it.name == "py-nets-one_logit" }
        fun changed(from: String, to: String) = ModelFiles { name ->
            val bytes = folder.resolve(name).readBytes()
            if (name == "manifest.json") String(bytes).replace(from, to).byteInputStream() else bytes.inputStream()
        }
        val error = thrown<DamagedFile> { ModelSpec.read(changed("\"threshold\": 0.9", "\"threshold\": 0.1")) }
        assertEquals("manifest.json is damaged: its checksum differs", error.message)
        thrown<DamagedFile> { ModelSpec.read(changed("\"schema\": 2", "\"schema\": 1")) }  // which had no checksum
        thrown<BadManifest> { ModelSpec.read(changed("\"threshold\": 0.9", "\"threshold\": 1.5")) }
        thrown<BadManifest> { ModelSpec.read(changed("\"scores\": \"logits\"", "\"scores\": \"odds\"")) }
        val one = Given.spec { it.replace("\"scores\": \"logits\"", "\"scores\": \"log-probabilities\"") }
        assertEquals(Scores.LOG_PROBABILITIES, one.classification().scores)
    }

    @Test
    fun `schema 3 says what answers mean, and a task contradicts neither its outputs nor its labels`() {
        fun refused(task: String, labels: String, vararg outputs: String) =
            thrown<EdgekitException> { ModelSpec.parse(Given.third(task, outputs.asList(), labels.lines().size - 1), labels) }.message
        fun scores(shape: String, layout: String) = Given.port("o", shape, layout, role = "scores")
        val classes = """{"name": "classification", "scores": "logits", "independent": false, "threshold": 0.5}"""
        val mask = """{"name": "segmentation", "scores": "logits", "threshold": 0.5, "background": null, "palette": [[1, 2, 3]],
            "upsample": {"mode": "nearest", "align_corners": false}}"""
        val vector = """{"name": "embedding", "normalized": true}"""
        assertEquals("a model for poses", refused("""{"name": "poses"}""", "", Given.port("o", "[1, 2]", "NC")))
        assertEquals("manifest.json: outputs[0].shape is [1, 3] for 2 labels", refused(classes, "a\nb\n", scores("[1, 3]", "NC")))
        assertEquals("manifest.json: outputs: 2 of role scores, not one", refused(classes, "a\n", scores("[1, 1]", "NC"), scores("[1, 1]", "NC")))
        assertEquals("manifest.json: 2 outputs of scores, not one", refused(classes, "a\n", scores("[1, 1]", "NC"), Given.port("o", "[1]", "")))
        assertEquals("manifest.json: outputs[0].shape is [1, 2, 4, 6] for 3 labels", refused(mask, "a\nb\nc\n", scores("[1, 2, 4, 6]", "NCHW")))
        assertEquals("manifest.json: outputs[0].shape is [1, 2] for 2 labels", refused(mask, "a\nb\n", scores("[1, 2]", "NC")))
        assertEquals("manifest.json: task.palette is 1 colours for 2 labels", refused(mask, "a\nb\n", scores("[1, 1, 4, 6]", "NCHW")))
        assertEquals("manifest.json: task.palette is [1, 2]", refused(mask.replace("[1, 2, 3]", "[1, 2]"), "a\nb\n", scores("[1, 1, 4, 6]", "NCHW")))
        assertEquals("manifest.json: outputs: 0 of role embedding, not one", refused(vector, "", Given.port("o", "[1, 2]", "NC")))
        assertEquals("manifest.json: outputs[0].layout is NCHW for [1, 2]", refused(vector, "", Given.port("o", "[1, 2]", "NCHW")))
        val two = Given.third("""{"name": "raw"}""", emptyList(), input = "{}, {}")
        assertEquals("a model of 2 inputs", thrown<UnsupportedModel> { ModelSpec.parse(two, "") }.message)
        val thin = Given.third("""{"name": "raw"}""", listOf(Given.port("o", "[1, 2]", "")), stride = 0)
        assertEquals("manifest.json: golden.stride is 0", thrown<BadManifest> { ModelSpec.parse(thin, "") }.message)
        val none = ModelFiles { name -> if (name == "manifest.json") thin.replace("\"stride\": 0", "\"stride\": 4").byteInputStream() else throw java.io.FileNotFoundException(name) }
        assertEquals("manifest.json: checksum is missing", thrown<BadManifest> { ModelSpec.read(none) }.message)  // no labels.txt is asked for
    }

    @Test
    fun `a clip has frames at a rate, in the order of its layout, and answers of its own tasks`() {
        val still = Given.third("""{"name": "raw"}""", listOf(Given.port("o", "[1, 2]", ""))).replace("\"schema\": 3", "\"schema\": 4")
        ModelSpec.parse(still.replace("\"crop_pct\"", "\"frames\": 1, \"rate\": 0.0, \"crop_pct\""), "")
        fun clips(shape: String, layout: String, frames: String = "5", rate: String = "8.0") = still
            .replace("\"crop_pct\"", "\"frames\": $frames, \"rate\": $rate, \"crop_pct\"").replace("NHWC", layout).replace("[1, 8, 12, 3]", shape)
        for ((shape, layout) in listOf("[1, 5, 8, 12, 3]" to "NTHWC", "[1, 3, 5, 8, 12]" to "NCTHW")) {
            val spec = ModelSpec.parse(clips(shape, layout), "")
            assertEquals(listOf(true, 5, 8.0), spec.preprocess.run { listOf(isClip, frames, rate) })
        }
        for ((said, manifest) in listOf(
            "inputs[0].shape is [1, 4, 8, 12, 3], and the clip is [5, 8, 12]" to clips("[1, 4, 8, 12, 3]", "NTHWC"),
            "inputs[0].layout is NHWC for [1, 5, 8, 12, 3]" to clips("[1, 5, 8, 12, 3]", "NHWC"),
            "preprocess.frames is 0" to clips("[1, 5, 8, 12, 3]", "NTHWC", frames = "0"),
            "preprocess.rate is 0.0 for 5 frames" to clips("[1, 5, 8, 12, 3]", "NTHWC", rate = "0.0"),
            "clips are answered by detection" to Given.third(
                """{"name": "detection", "threshold": 0.25, "nms": null, "limit": 100, "palette": []}""",
                listOf(Given.port("b", "[1, 9, 4]", "NAC", role = "boxes"), Given.port("s", "[1, 9, 2]", "NAC", role = "scores")), 2,
                input = Given.port("clip", "[1, 5, 8, 12, 3]", "NTHWC", "uint8"),
            ).replace("\"schema\": 3", "\"schema\": 4").replace("\"crop_pct\"", "\"frames\": 5, \"rate\": 8.0, \"crop_pct\""),
        )) assertEquals("manifest.json: $said", thrown<BadManifest> { ModelSpec.parse(manifest, "a\nb\n") }.message)
    }

    @Test
    fun `a card says where weights come from and what was proven, of any schema`() {
        for (name in Given.artifacts) {
            val card = ModelSpec.read(Given.artifact(name)).card
            val proof = card.proof!!
            assertTrue(name, proof.passed && proof.pictures >= 4 && proof.runtime.isNotEmpty() && proof.source.isNotEmpty() && proof.leastDb > 0)
            assertTrue(name, proof.measures.all { it.value >= it.least } && card.madeWith.getValue("edgekit").isNotEmpty())
            val task = ModelSpec.read(Given.artifact(name)).task
            assertEquals(name, if (task is Raw) 0 else if (task is Embedding || task is Detection) 3 else if (task is Segmentation) 2 else 1, proof.measures.size)
        }
        val plain = ModelSpec.parse(Given.third("""{"name": "raw"}""", listOf(Given.port("o", "[1, 2]", ""))), "").card
        assertEquals(listOf("", "", "", null, null), plain.run { listOf(source, why, reason, learned, proof) })
        val wrong = Given.third("""{"name": "raw"}""", listOf(Given.port("o", "[1, 2]", ""))).replaceFirst("{", """{"notes": ["one", 2], """)
        assertEquals("manifest.json: notes is 2", thrown<BadManifest> { ModelSpec.parse(wrong, "") }.message)
        val trained = Given.third("""{"name": "raw"}""", listOf(Given.port("o", "[1, 2]", "")))
            .replaceFirst("{", """{"notes": ["one"], "trained_on": {"pictures": 160}, """)
        assertEquals(listOf(160, listOf("one")), ModelSpec.parse(trained, "").card.run { listOf(learned, notes) })
    }

    @Test
    fun `a detector that is laid out for another reader is refused`() {
        val laid = Given.third("""{"name": "raw"}""", listOf(Given.port("o", "[1, 2]", ""))).replaceFirst("{", """{"layout": {"name": "mediapipe"}, """)
        assertEquals("a detector laid out for mediapipe", thrown<UnsupportedModel> { ModelSpec.parse(laid, "") }.message)
        ModelSpec.parse(laid.replace("""{"name": "mediapipe"}""", "null"), "")
    }

    @Test
    fun `boxes and scores of a detector belong together`() {
        val task = """{"name": "detection", "threshold": 0.25, "nms": {"iou": 0.65, "candidates": 1000}, "limit": 100, "palette": [[1, 2, 3], [0, 255, 0]]}"""
        val boxes = Given.port("b", "[1, 6, 4]", "NAC", role = "boxes")
        val scores = Given.port("s", "[1, 6, 2]", "NAC", role = "scores")
        fun read(given: String = task, vararg outputs: String = arrayOf(boxes, scores)) =
            ModelSpec.parse(Given.third(given, outputs.asList(), 2), "bag\nshoe\n").task as Detection
        fun refused(read: () -> Detection) = thrown<BadManifest> { read() }.message
        read().run {
            assertEquals(listOf(0.25f, 100, 0.65f, 1000), listOf(threshold, limit, nms!!.iou, nms.candidates))
            assertEquals(listOf(0xFF010203.toInt(), 0xFF00FF00.toInt()), palette.asList())
        }
        assertEquals(null, read(task.replace(Regex("\\{\"iou[^}]*}"), "null")).nms)
        val plain = read(task.replace(Regex("\"palette.*"), "\"palette\": []}"))
        assertEquals(listOf(0xFF800000.toInt(), 0xFF008000.toInt()), plain.palette.asList())  // those of masks, without the black
        assertEquals("manifest.json: task.threshold is 1.0", refused { read(task.replace("0.25", "1.0")) })
        assertEquals("manifest.json: task.nms.iou is 0.0", refused { read(task.replace("0.65", "0.0")) })
        assertEquals("manifest.json: task.nms.candidates is 0", refused { read(task.replace("1000", "0")) })
        assertEquals("manifest.json: task.nms.candidates is 4097", refused { read(task.replace("1000", "4097")) })
        assertEquals("manifest.json: task.limit is 0", refused { read(task.replace("100,", "0,")) })
        assertEquals("manifest.json: task.palette is 1 colours for 2 labels", refused { read(task.replace(", [0, 255, 0]", "")) })
        assertEquals("manifest.json: outputs: 0 of role boxes, not one", refused { read(task, scores) })
        assertEquals("manifest.json: outputs: 2 of role scores, not one", refused { read(task, boxes, scores, scores) })
        val other = "manifest.json: outputs are %s for boxes of 2 labels"
        assertEquals(other.format("boxes [1, 6, 4], scores [1, 5, 2]"), refused { read(task, boxes, scores.replace("6", "5")) })
        assertEquals(other.format("boxes [1, 6, 4], scores [1, 6, 3]"), refused { read(task, boxes, scores.replace("6, 2", "6, 3")) })
        assertEquals(other.format("boxes [1, 6, 5], scores [1, 6, 2]"), refused { read(task, boxes.replace("6, 4", "6, 5"), scores) })
        val more = Given.port("o", "[1, 1]", "NC", role = "more")
        assertEquals(other.format("boxes [1, 6, 4], scores [1, 6, 2], more [1, 1]"), refused { read(task, boxes, scores, more) })
        val turned = other.format("scores [1, 6, 2], boxes [1, 6, 4]")
        assertEquals(turned, refused { read(task, scores, boxes) })
        for (wrong in listOf(scores.replace("NAC", "NTC"), scores.replace("float32", "uint8"))) {
            assertEquals(other.format("boxes [1, 6, 4], scores [1, 6, 2]"), refused { read(task, boxes, wrong) })
        }
    }

    @Test
    fun `labels that do not match the outputs are counted`() {
        val error = thrown<LabelsDoNotMatch> { ModelSpec.parse(Given.manifest(), "a\nb\n") }
        assertEquals("labels.txt has 2 lines for 5 labels", error.message)
        thrown<BadManifest> { ModelSpec.parse(Given.manifest().replace("\"classes\": 5", "\"classes\": 2"), "a\nb\n") }
    }

    @Test
    fun `what this app cannot run says so`() {
        for ((from, to) in listOf(
            "\"target\": \"tflite\",\n  \"task\"" to "\"target\": \"openvino\",\n  \"task\"",
            "\"task\": \"classification\"" to "\"task\": \"poses\"",
            "\"dtype\": \"uint8\"" to "\"dtype\": \"int16\"",
        )) thrown<UnsupportedModel> { Given.spec { it.replace(from, to) } }
    }

    @Test
    fun `a fault of the manifest names its field`() {
        val faults = mapOf(
            ("\"folded\": true" to "\"folded\": 1") to "manifest.json: folded is 1",
            ("\"folded\": true," to "") to "manifest.json: folded is missing",
            ("\"interpolation\": \"bicubic\"" to "\"interpolation\": \"cubic\"") to "manifest.json: preprocess.interpolation is cubic",
            ("\"crop_pct\": 1.0" to "\"crop_pct\": 0") to "manifest.json: preprocess.crop_pct is 0.0",
            ("\"crop_pct\": 1.0" to "\"crop_pct\": \"1\"") to "manifest.json: preprocess.crop_pct is 1",
            ("\"model.tflite\"" to "\"other.tflite\"") to "manifest.json: names 0 model files, not one",
            ("\"classes\": 5" to "\"classes\": 5000000000") to "manifest.json: labels is 5000000000",
            ("\"bytes\": 13757" to "\"bytes\": -1.5") to "manifest.json: files.model.tflite.bytes is -1.5",
        )
        for ((change, message) in faults) {
            val error = thrown<BadManifest> { Given.spec { it.replace(change.first, change.second) } }
            assertEquals(message, error.message)
        }
        fun flat(change: (String) -> String) = thrown<BadManifest> { Given.spec { change(it.replace(Regex("\\s+"), " ")) } }.message
        assertEquals("manifest.json: preprocess.input_size is [0, 32]", flat { it.replace("\"input_size\": [ 32, 32 ], \"interp", "\"input_size\": [ 0, 32 ], \"interp") })
        assertEquals("manifest.json: preprocess.std is [0.25, 0.0, 0.25]", flat { it.replace("\"std\": [ 0.25, 0.25, 0.25 ] }", "\"std\": [ 0.25, 0.0, 0.25 ] }") })
        assertEquals("manifest.json: preprocess.mean is [0.5, 0.5]", flat { it.replace("\"mean\": [ 0.5, 0.5, 0.5 ], \"std\": [ 0.25, 0.25, 0.25 ] }", "\"mean\": [ 0.5, 0.5 ], \"std\": [ 0.25, 0.25, 0.25 ] }") })
        assertEquals("manifest.json: inputs[0].shape is [1, 32, 31, 3], and the image is [32, 32]", flat { it.replace("[ 1, 32, 32, 3 ]", "[ 1, 32, 31, 3 ]") })
        assertEquals("manifest.json: inputs[0].shape is -1", flat { it.replace("[ 1, 32, 32, 3 ]", "[ 1, -1, 31, 3 ]") })
        assertEquals("manifest.json: outputs[0].shape is [1, 6] for 5 labels", flat { it.replace("[ 1, 5 ]", "[ 1, 6 ]") })
        assertEquals("manifest.json: the file is not an object", thrown<BadManifest> { ModelSpec.parse("[1]", "") }.message)
    }

    @Test
    fun `a batch of any size is a batch of one`() {
        val any = Given.spec { it.replace(Regex("\"shape\": \\[\\s*1,"), "\"shape\": [-1,") }
        assertEquals(listOf(1, 32, 32, 3), any.input.shape)
    }

    @Test
    fun `a runtime that is too old is refused with what it needs`() {
        val dynamic = Given.spec {
            it.replace("\"TFLite 2.16.1\"", "\"LiteRT 1.2\"").replace("\"tflite-runtime 2.14\"", "\"LiteRT 1.0.1\"")
        }
        val old = RuntimeVersion("tflite", "2.16.1")
        val error = thrown<RuntimeTooOld> { dynamic.checkRuntime(old, "arm64-v8a") }
        assertEquals("this file needs LiteRT 1.2 or later on arm64, and this app has TFLite 2.16.1", error.message)
        thrown<RuntimeTooOld> { dynamic.checkRuntime(RuntimeVersion("litert", "1.0.1"), "arm64-v8a") }
        thrown<RuntimeTooOld> { dynamic.checkRuntime(old, "x86_64") }
        dynamic.checkRuntime(RuntimeVersion("litert", "1.0.1"), "x86_64")
        dynamic.checkRuntime(RuntimeVersion("litert", "2.0"), "arm64-v8a")
        Given.spec().checkRuntime(old, "arm64-v8a")
        thrown<RuntimeTooOld> { Given.spec().checkRuntime(RuntimeVersion("tflite", "2.13.0-rc1"), "x86") }
        ModelSpec.read(Given.artifact("tiny-onnx-int8")).checkRuntime(RuntimeVersion("onnxruntime", "1.29.0"), "arm64-v8a")
        assertEquals("a version of its own 3", RuntimeVersion("a version of its own", "3").toString())
    }
}
