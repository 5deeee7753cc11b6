import groovy.json.JsonSlurper
import java.security.MessageDigest

plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "dev.edgekit.demo"
    compileSdk = libs.versions.compileSdk.get().toInt()

    defaultConfig {
        applicationId = "dev.edgekit.demo"
        minSdk = libs.versions.minSdk.get().toInt()
        targetSdk = libs.versions.targetSdk.get().toInt()
        versionCode = libs.versions.versionCode.get().toInt()
        versionName = libs.versions.versionName.get()
        ndk { abiFilters += listOf("arm64-v8a", "x86_64") }
    }

    // ONNX Runtime is large: it has a flavour of its own, which has TFLite too
    flavorDimensions += "runtimes"
    productFlavors {
        create("tflite") { dimension = "runtimes" }
        create("ort") { dimension = "runtimes" }
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"), "rules.pro")
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

kotlin {
    compilerOptions {
        jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_1_8
    }
}

// its library, 32 MB for one CPU, is unpacked when the app is installed
androidComponents {
    onVariants(selector().withFlavor("runtimes" to "ort")) { it.packaging.jniLibs.useLegacyPackaging.set(true) }
}

// -Ptflite takes TensorFlow Lite 2.16.1, which has the same Interpreter class: `make android` tests with it. Its libraries are
// linked for pages of 4 KB, so Google Play refuses it, and it has no CompiledModel for GPU and NPU
val classic = providers.gradleProperty("tflite").isPresent
android.sourceSets.named("main") {
    kotlin.directories += if (classic) "src/classic/kotlin" else "src/litert/kotlin"
}

dependencies {
    implementation(project(":core"))
    implementation(if (classic) libs.tflite else libs.litert)
    "ortImplementation"(libs.ort)
}

// gradle addModel -Partifact=DIR: as `edgekit android add DIR`, without Python
val addModel by tasks.registering {
    val artifact = providers.gradleProperty("artifact").map { File(it) }
    val models = layout.projectDirectory.dir("src/main/assets/models").asFile
    doLast {
        val from = artifact.orNull ?: error("-Partifact=DIR, a folder that edgekit export made")
        val manifest = JsonSlurper().parse(File(from, "manifest.json")) as Map<*, *>
        if (manifest["target"] !in listOf("tflite", "onnx")) error("the app runs .tflite and .onnx files, not those of ${manifest["target"]}")
        val files = manifest["files"] as Map<*, *>
        for ((name, record) in files) {
            val digest = MessageDigest.getInstance("SHA-256").digest(File(from, "$name").readBytes())
            val hex = digest.joinToString("") { "%02x".format(it) }
            if (hex != (record as Map<*, *>)["sha256"]) error("$name of $from is damaged: copy the whole artifact again")
        }
        val to = File(models, from.canonicalFile.name)
        to.deleteRecursively()
        for (name in files.keys + "manifest.json") File(from, "$name").copyTo(File(to, "$name"))
    }
}
