// `gradle :core:publishToMavenLocal` puts it where other builds find it as dev.edgekit:edgekit-core
plugins {
    alias(libs.plugins.kotlin.jvm)
    `java-library`
    `maven-publish`
}

group = "dev.edgekit"
version = libs.versions.versionName.get()

// java.* of JDK 8: later methods are not on old Androids
java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
    withSourcesJar()
}

kotlin {
    explicitApi()
    compilerOptions {
        jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_1_8
        freeCompilerArgs.add("-Xjdk-release=1.8")
    }
}

dependencies {
    testImplementation(libs.junit)
}

publishing {
    publications {
        create<MavenPublication>("core") {
            artifactId = "edgekit-core"
            from(components["java"])
            pom {
                name = "edgekit core"
                description = "Runs what edgekit exports: manifest, pixels, answers, golden examples, a benchmark"
                licenses { license { name = "Apache-2.0"; url = "https://www.apache.org/licenses/LICENSE-2.0" } }
            }
        }
    }
}
